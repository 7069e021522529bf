//! Reduces a file to the parts that can hold modules, imports and attributes. It drops the bodies of functions, types and
//! `impl` blocks, and what is in parentheses, except in a condition. These are most of a file, and the compiler's lexer
//! takes fifty times as long to read them as this code takes to skip them. It recognises only comments, quotes, braces
//! and parentheses.

/// The attribute in which a function's line is noted.
pub(crate) const LINE: &str = "__nq_line";

/// The file with empty bodies and parentheses, without comments, and with the line of each function noted before its
/// `fn`. If a file ends within a quote or a body, which rustc refuses, only the text before that is returned.
pub(crate) fn skim(source: &str) -> String {
    let mut skim = Skim { source: source.as_bytes(), at: 0 };
    let (mut line, mut counted) = (1, 0);
    let mut kept = Vec::with_capacity(source.len() / 4);
    let (mut import, mut condition) = (false, 0);
    // The last two words, with nothing else between or after them.
    let (mut before, mut last): (&[u8], &[u8]) = (b"", b"");
    while let Some(piece) = skim.next() {
        match piece {
            Piece::Space => kept.push(b' '),
            Piece::Word(word) => {
                (before, last) = (last, word);
                import |= word == b"use";
                if word == b"fn" {
                    line += source[counted..skim.at].matches('\n').count();
                    counted = skim.at;
                    kept.extend_from_slice(format!("#[{LINE} = {line}] ").as_bytes());
                }
                kept.extend_from_slice(word);
            }
            Piece::Quoted(text) => {
                (before, last) = (b"", b"");
                kept.extend_from_slice(text);
            }
            Piece::Mark(mark) => {
                kept.push(mark);
                match mark {
                    b'{' if !import && before != b"mod" => {
                        skim.rest_of(b'{', b'}');
                        kept.push(b'}');
                    }
                    b'(' if condition > 0 || matches!(last, b"cfg" | b"cfg_attr") => condition += 1,
                    b'(' => {
                        skim.rest_of(b'(', b')');
                        kept.push(b')');
                    }
                    b')' if condition > 0 => condition -= 1,
                    b';' => import = false,
                    _ => {}
                }
                (before, last) = (b"", b"");
            }
        }
    }
    String::from_utf8_lossy(&kept).into_owned()
}

struct Skim<'a> {
    source: &'a [u8],
    at: usize,
}

enum Piece<'a> {
    /// White space or a comment.
    Space,
    /// A name, a keyword or a number.
    Word(&'a [u8]),
    /// A string, a character or a lifetime.
    Quoted(&'a [u8]),
    /// Anything else.
    Mark(u8),
}

impl<'a> Skim<'a> {
    /// Steps over the rest of a group, up to its closing mark, or to the end of the file if there is none.
    ///
    /// Macros are mostly compiled without optimization, and bodies are most of a file. So a loop without calls steps over
    /// the characters that do not matter.
    fn rest_of(&mut self, opens: u8, closes: u8) {
        let (source, mut open) = (self.source, 1);
        while open > 0 {
            while self.at < source.len() && !MATTERS[source[self.at] as usize] {
                self.at += 1;
            }
            match self.next() {
                Some(Piece::Mark(mark)) if mark == opens => open += 1,
                Some(Piece::Mark(mark)) if mark == closes => open -= 1,
                Some(_) => {}
                None => return,
            }
        }
    }

    /// The next piece; none at the end, or where a quote does not end.
    fn next(&mut self) -> Option<Piece<'a>> {
        let (source, from) = (self.source, self.at);
        let &first = source.get(from)?;
        self.at += 1;
        let piece = match first {
            b' ' | b'\t' | b'\n' | b'\r' => Piece::Space,
            b'/' if self.peek() == Some(b'/') => {
                while self.peek().is_some_and(|byte| byte != b'\n') {
                    self.at += 1;
                }
                Piece::Space
            }
            b'/' if self.peek() == Some(b'*') => {
                self.comment()?;
                Piece::Space
            }
            b'"' => {
                self.string()?;
                Piece::Quoted(&source[from..self.at])
            }
            b'\'' => {
                self.quote()?;
                Piece::Quoted(&source[from..self.at])
            }
            _ if is_word(first) => {
                while self.peek().is_some_and(is_word) {
                    self.at += 1;
                }
                // A raw name such as `r#fn`: `fn` must not be read as a word of its own, so it is consumed here.
                if &source[from..self.at] == b"r" && self.peek() == Some(b'#') {
                    self.at += 1;
                    while self.peek().is_some_and(is_word) {
                        self.at += 1;
                    }
                }
                Piece::Word(&source[from..self.at])
            }
            _ => Piece::Mark(first),
        };
        Some(piece)
    }

    fn peek(&self) -> Option<u8> {
        self.source.get(self.at).copied()
    }

    /// Steps over the rest of a block comment; they nest.
    fn comment(&mut self) -> Option<()> {
        let mut open = 0;
        self.at -= 1;
        loop {
            match self.source.get(self.at..self.at + 2)? {
                b"/*" => (open, self.at) = (open + 1, self.at + 2),
                b"*/" => (open, self.at) = (open - 1, self.at + 2),
                _ => self.at += 1,
            }
            if open == 0 {
                return Some(());
            }
        }
    }

    /// Steps over the rest of a string. The prefix before its first quote says whether it is a raw string.
    fn string(&mut self) -> Option<()> {
        let (before, rest) = (&self.source[..self.at - 1], &self.source[self.at..]);
        let marks = before.iter().rev().take_while(|byte| **byte == b'#').count();
        let word = before[..before.len() - marks].rsplit(|byte| !is_word(*byte)).next()?;
        if matches!(word, b"r" | b"br" | b"cr") {
            let mut end = vec![b'#'; marks + 1];
            end[0] = b'"';
            self.at += rest.windows(end.len()).position(|window| window == end)? + end.len();
            return Some(());
        }
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        Some(())
    }

    /// Steps over the rest of a character, or over the quote of a lifetime.
    fn quote(&mut self) -> Option<()> {
        let rest = &self.source[self.at..];
        if rest.first()? == &b'\\' {
            let escaped = rest.get(2..)?;
            self.at += 2 + escaped.iter().position(|byte| *byte == b'\'')? + 1;
            return Some(());
        }
        // A character is up to four bytes long: the first says how many.
        let width = match rest.first()? {
            0..0x80 => 1,
            0x80..0xe0 => 2,
            0xe0..0xf0 => 3,
            _ => 4,
        };
        if rest.get(width) == Some(&b'\'') {
            self.at += width + 1;
        }
        Some(())
    }
}

/// Braces and parentheses, and the characters with which quotes and comments begin.
static MATTERS: [bool; 256] = {
    let mut matters = [false; 256];
    let mut at = 0;
    while at < 7 {
        matters[b"{}()\"'/"[at] as usize] = true;
        at += 1;
    }
    matters
};

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

#[cfg(test)]
mod tests {
    use super::{LINE, skim};

    fn check(source: &str, expected: &str) {
        let mut squeezed = skim(source).split_whitespace().collect::<Vec<_>>().join(" ");
        while let Some((before, after)) = squeezed.split_once(&format!("#[{LINE} = ")) {
            squeezed = format!("{before}{}", after.split_once("] ").unwrap().1);
        }
        assert_eq!(squeezed, expected, "{source}");
    }

    #[test]
    fn bodies_and_comments_go() {
        check("fn a() { b { } } struct C { d: u8 }", "fn a() {} struct C {}");
        check("/// x {\nfn a() {} // }\n/* { /* { */ */ mod b;", "fn a() {} mod b;");
        check("impl A for B<{ 3 }> { fn c() {} }", "impl A for B<{}> {}");
        check("macro_rules! a { ($b:ident) => { mod $b {} } }", "macro_rules! a {}");
    }

    #[test]
    fn modules_imports_and_attributes_stay() {
        check("pub mod a { mod r#b { fn c() { } } }", "pub mod a { mod r#b { fn c() {} } }");
        check("use a::{b, c::{self, d}}; fn e() { f }", "use a::{b, c::{self, d}}; fn e() {}");
        check(
            "#[nq::worker(flow = \"a{\", timeout = r#\"\"}\"#)] async fn b(c: u8) { d }",
            "#[nq::worker()] async fn b() {}",
        );
        check("fn a() -> impl B + use<> { { c; } } mod d;", "fn a() -> impl B + use<> { { c; } } mod d;");
        for kept in [
            "#![cfg(a)] #[path = \"b.rs\"] mod c;",
            "#[cfg(all(a, not(b = \"(\")))] mod c;",
            "#[cfg_attr(any(a, b), path = \"b.rs\", nq::worker(flow = \"f\"))] mod c;",
        ] {
            check(kept, kept);
        }
        check("pub(in a::b) struct C(#[d(e)] F, (G,)); mod h;", "pub() struct C(); mod h;");
    }

    #[test]
    fn quotes_hide_what_is_in_them() {
        for body in [
            "'{'",
            "'\\''",
            "'\\u{7b}'",
            "b'{'",
            "b'\\''",
            "'ä'",
            "'€'",
            "'😀'",
            "\"{\\\"{\"",
            "b\"{\"",
            "c\"{\"",
            "r\"{\\\"",
            "r##\"\"#{\"##",
            "br#\"{\"#",
            "'a: loop { break 'a; }",
            "f::<'_>()",
            "r#fn",
            "1.0e3",
            "\"\"",
            "'\"'",
            "\"'\"",
            "a / b /* { */",
            "\"\\\\\"",
        ] {
            check(&format!("fn a() {{ {body} }} fn b() {{}}"), "fn a() {} fn b() {}");
        }
        check("fn a<'a>(b: &'a u8) -> [u8; 2] { *b\"ab\" }", "fn a<'a>() -> [u8; 2] {}");
        check("const A: char = '{'; static B: &str = \"}\";", "const A: char = '{'; static B: &str = \"}\";");
    }

    #[test]
    fn functions_get_their_lines() {
        let skimmed = skim("fn a() { fn b() {\n} }\n/*\n*/ async\nfn\nc() { \"\n\" }\r\nmod d { fn e() {} }");
        let line = |at: usize| format!("#[{LINE} = {at}] fn");
        let lines: Vec<_> = skimmed.split("async").collect();
        assert!(lines[0].starts_with(&line(1)) && lines[1].contains(&line(5)), "{skimmed}");
        assert!(lines[1].contains(&line(8)), "{skimmed}");
    }

    #[test]
    fn what_does_not_compile_does_not_matter() {
        for source in [
            "fn a() {",
            "}",
            "fn a() { \"",
            "/* ",
            "k\"x\"",
            "'\\",
            "'",
            "---\n{\n---",
            "r#\"",
            "r#",
            "mod a {",
        ] {
            let _ = skim(source);
        }
    }
}
