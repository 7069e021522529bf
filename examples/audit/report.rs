//! The report: what an audit found, as a table for the terminal and as Markdown.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use comfy_table::{CellAlignment, LineStyle, Table, presets};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::lockfile::{Locked, Origin};
use crate::measure::Measure;

/// A package and the result of its inspection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Inspected {
    /// Its name.
    pub(crate) name: String,
    /// Its version.
    pub(crate) version: String,
    /// Where cargo gets it from.
    pub(crate) origin: Origin,
    /// What was found.
    pub(crate) finding: Finding,
}

/// The result of an inspection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Finding {
    /// The source was found and measured.
    Measured(Measure),
    /// The source was not found.
    NotFound {
        /// Why not, and what helps.
        why: String,
    },
}

impl Inspected {
    fn measure(&self) -> Option<&Measure> {
        match &self.finding {
            Finding::Measured(measure) => Some(measure),
            Finding::NotFound { .. } => None,
        }
    }
}

/// A package that is there in several versions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Duplicate {
    /// Its name.
    pub(crate) name: String,
    /// Each version, with the packages that require it.
    pub(crate) versions: Vec<(String, Vec<String>)>,
}

/// What an audit found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Report {
    /// Every package, by name and version.
    pub(crate) packages: Vec<Inspected>,
    /// Those that are there in several versions.
    pub(crate) duplicates: Vec<Duplicate>,
}

/// The packages of a lock file that are there in several versions.
pub(crate) fn duplicates(packages: &[Locked]) -> Vec<Duplicate> {
    let mut by_name: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (at, package) in packages.iter().enumerate() {
        by_name.entry(&package.name).or_default().push(at);
    }
    by_name.retain(|_, places| places.len() > 1);
    let requiring = |at: usize| {
        let requiring = packages.iter().filter(|package| package.requires.contains(&at));
        requiring.map(|package| package.name.clone()).collect::<BTreeSet<_>>().into_iter().collect()
    };
    let version = |at: &usize| (packages[*at].version.clone(), requiring(*at));
    let duplicate = |(name, places): (&str, Vec<usize>)| Duplicate {
        name: name.to_owned(),
        versions: places.iter().map(version).collect(),
    };
    by_name.into_iter().map(duplicate).collect()
}

/// The columns of the table of packages.
const COLUMNS: [&str; 8] =
    ["package", "version", "from", "licence", "lines", "unsafe", "build.rs", "proc macro"];

/// The positions of the columns with numbers.
const NUMBERS: [usize; 2] = [4, 5];

/// The longest cell in the terminal, in characters.
const MAX_CELL: usize = 24;

fn cells(package: &Inspected) -> [String; COLUMNS.len()] {
    let about = [&package.name, &package.version, package.origin.label()].map(ToOwned::to_owned);
    let rest = match &package.finding {
        Finding::Measured(measure) => [
            measure.licence.clone().unwrap_or_else(|| "none named".into()),
            grouped(measure.lines),
            if measure.unsafe_blocks == 0 { String::new() } else { grouped(measure.unsafe_blocks) },
            if measure.build_script { "yes".into() } else { String::new() },
            if measure.proc_macro { "yes".into() } else { String::new() },
        ],
        Finding::NotFound { why } => [format!("({why})"), "?".into(), "?".into(), "?".into(), "?".into()],
    };
    let mut cells = about.into_iter().chain(rest);
    std::array::from_fn(|_| cells.next().unwrap_or_default())
}

/// `1234567` as `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn counted(number: usize, one: &str, many: &str) -> String {
    format!("{} {}", grouped(number as u64), if number == 1 { one } else { many })
}

impl Report {
    /// The report for the terminal: the packages that deserve a look first, at most `most` of them, then the totals.
    pub(crate) fn table(&self, most: usize) -> String {
        let mut packages: Vec<_> = self.packages.iter().collect();
        // The sort is stable, so packages that are equal otherwise stay sorted by name.
        packages.sort_by_key(|package| {
            let measure = package.measure();
            std::cmp::Reverse(measure.map_or((0, 0), |measure| (measure.unsafe_blocks, measure.lines)))
        });
        let mut table = Table::new();
        table.load_style(presets::UTF8_HORIZONTAL_ONLY.row_separator(LineStyle::none())).set_header(COLUMNS);
        let short = |cell: String| match cell.char_indices().nth(MAX_CELL) {
            Some((end, _)) => format!("{}…", &cell[..end]),
            None => cell,
        };
        table.add_rows(packages.iter().take(most).map(|package| cells(package).map(short)));
        for column in NUMBERS {
            table
                .column_mut(column)
                .into_iter()
                .for_each(|column| column.set_cell_alignment(CellAlignment::Right));
        }
        let mut text = format!("{}\n", table.trim_fmt());
        if let Some(more) = packages.len().checked_sub(most).filter(|more| *more > 0) {
            let _ = writeln!(text, "… and {} (`--all` shows them)", counted(more, "more", "more"));
        }
        let _ = write!(text, "\n{}", self.totals());
        text
    }

    /// The report for a file: everything, in an order that makes two reports easy to compare.
    pub(crate) fn markdown(&self, lockfile: &str) -> String {
        let mut text = format!("# Audit of `{lockfile}`\n\n");
        for line in self.totals().lines() {
            let _ = writeln!(text, "- {}", escaped(line));
        }
        let right = |column: usize| if NUMBERS.contains(&column) { "--:" } else { "---" };
        let rule: Vec<_> = (0..COLUMNS.len()).map(right).collect();
        let _ = writeln!(text, "\n## Packages\n\n| {} |\n| {} |", COLUMNS.join(" | "), rule.join(" | "));
        for package in &self.packages {
            let _ = writeln!(text, "| {} |", cells(package).map(|cell| escaped(&cell)).join(" | "));
        }
        if !self.duplicates.is_empty() {
            text.push_str("\n## Several versions of one package\n\n| package | version | required by |\n| --- | --- | --- |\n");
        }
        for Duplicate { name, versions } in &self.duplicates {
            for (version, required_by) in versions {
                let _ = writeln!(text, "| {name} | {version} | {} |", required_by.join(", "));
            }
        }
        let _ = writeln!(text, "\n## Licences\n\n| licence | packages |\n| --- | --: |");
        for (licence, packages) in self.licences() {
            let _ = writeln!(text, "| {} | {packages} |", escaped(licence));
        }
        text
    }

    /// The totals, one on each line.
    fn totals(&self) -> String {
        let measured: Vec<_> = self.packages.iter().filter_map(Inspected::measure).collect();
        let having = |which: fn(&Measure) -> bool| measured.iter().filter(|measure| which(measure)).count();
        let sum = |of: fn(&Measure) -> u64| measured.iter().map(|measure| of(measure)).sum::<u64>();
        let mut text = String::new();
        let mut line = |words: String| text.extend([words.as_str(), "\n"]);
        line(format!(
            "{}, {} lines of Rust",
            counted(self.packages.len(), "package", "packages"),
            grouped(sum(|measure| measure.lines))
        ));
        line(format!(
            "{} in {}",
            counted(sum(|measure| measure.unsafe_blocks) as usize, "unsafe block", "unsafe blocks"),
            counted(having(|measure| measure.unsafe_blocks > 0), "package", "packages")
        ));
        line(format!(
            "{} and {} run code while you build",
            counted(having(|measure| measure.build_script), "build script", "build scripts"),
            counted(having(|measure| measure.proc_macro), "proc macro", "proc macros")
        ));
        let names: Vec<_> = self.duplicates.iter().map(|duplicate| duplicate.name.as_str()).collect();
        if !names.is_empty() {
            line(format!(
                "{} in several versions: {}",
                counted(names.len(), "package", "packages"),
                names.join(", ")
            ));
        }
        let unlicensed = having(|measure| measure.licence.is_none());
        if unlicensed > 0 {
            line(format!("{} no licence", counted(unlicensed, "package names", "packages name")));
        }
        let unread = sum(|measure| measure.unread_files) as usize;
        if unread > 0 {
            line(format!(
                "{} not made of Rust tokens, and not counted",
                counted(unread, "file is", "files are")
            ));
        }
        let missing = self.packages.len() - measured.len();
        if missing > 0 {
            line(format!(
                "{} not inspected: the source is not there (run `cargo fetch`, then audit with `--again`)",
                counted(missing, "package was", "packages were")
            ));
        }
        text
    }

    /// How many packages have each licence, the most frequent first.
    fn licences(&self) -> Vec<(&str, usize)> {
        let mut licences: BTreeMap<&str, usize> = BTreeMap::new();
        for measure in self.packages.iter().filter_map(Inspected::measure) {
            *licences.entry(measure.licence.as_deref().unwrap_or("none named")).or_default() += 1;
        }
        let mut licences: Vec<_> = licences.into_iter().collect();
        licences.sort_by_key(|(_, packages)| std::cmp::Reverse(*packages));
        licences
    }
}

/// Escapes text for a cell of a Markdown table.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('|', "\\|").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, finding: Finding) -> Inspected {
        let origin = Origin::Registry { registry: "crates.io".into() };
        Inspected { name: name.into(), version: "1.0.0".into(), origin, finding }
    }

    fn report() -> Report {
        let measured = |licence: Option<&str>, lines, unsafe_blocks| {
            let licence = licence.map(ToOwned::to_owned);
            Finding::Measured(Measure { licence, lines, unsafe_blocks, ..Measure::default() })
        };
        let Finding::Measured(tool) = measured(Some("MIT"), 40, 0) else { unreachable!("it was measured") };
        let tool = Measure { build_script: true, proc_macro: true, unread_files: 1, ..tool };
        Report {
            packages: vec![
                package("calm", measured(Some("MIT"), 1_200, 0)),
                package("gone", Finding::NotFound { why: "not unpacked".into() }),
                package("odd|one", measured(None, 3, 1)),
                package("tool", Finding::Measured(tool)),
                package("wild", measured(Some("MIT"), 1_234_567, 1_000)),
            ],
            duplicates: vec![Duplicate {
                name: "wild".into(),
                versions: vec![
                    ("1.0.0".into(), vec!["calm".into(), "tool".into()]),
                    ("2.0.0".into(), Vec::new()),
                ],
            }],
        }
    }

    #[test]
    fn the_terminal_shows_what_deserves_a_look_first() {
        let expected = "\
─────────────────────────────────────────────────────────────────────────────────────────
 package   version   from        licence          lines   unsafe   build.rs   proc macro
═════════════════════════════════════════════════════════════════════════════════════════
 wild      1.0.0     crates.io   MIT          1,234,567    1,000
 odd|one   1.0.0     crates.io   none named           3        1
─────────────────────────────────────────────────────────────────────────────────────────
… and 3 more (`--all` shows them)

5 packages, 1,235,810 lines of Rust
1,001 unsafe blocks in 2 packages
1 build script and 1 proc macro run code while you build
1 package in several versions: wild
1 package names no licence
1 file is not made of Rust tokens, and not counted
1 package was not inspected: the source is not there (run `cargo fetch`, then audit with `--again`)
";
        assert_eq!(report().table(2), expected);
        assert!(report().table(5).contains("gone"));
    }

    #[test]
    fn the_file_has_everything_by_name() {
        let expected = "\
# Audit of `a/Cargo.lock`

- 5 packages, 1,235,810 lines of Rust
- 1,001 unsafe blocks in 2 packages
- 1 build script and 1 proc macro run code while you build
- 1 package in several versions: wild
- 1 package names no licence
- 1 file is not made of Rust tokens, and not counted
- 1 package was not inspected: the source is not there (run `cargo fetch`, then audit with `--again`)

## Packages

| package | version | from | licence | lines | unsafe | build.rs | proc macro |
| --- | --- | --- | --- | --: | --: | --- | --- |
| calm | 1.0.0 | crates.io | MIT | 1,200 |  |  |  |
| gone | 1.0.0 | crates.io | (not unpacked) | ? | ? | ? | ? |
| odd\\|one | 1.0.0 | crates.io | none named | 3 | 1 |  |  |
| tool | 1.0.0 | crates.io | MIT | 40 |  | yes | yes |
| wild | 1.0.0 | crates.io | MIT | 1,234,567 | 1,000 |  |  |

## Several versions of one package

| package | version | required by |
| --- | --- | --- |
| wild | 1.0.0 | calm, tool |
| wild | 2.0.0 |  |

## Licences

| licence | packages |
| --- | --: |
| MIT | 3 |
| none named | 1 |
";
        assert_eq!(report().markdown("a/Cargo.lock"), expected);
    }

    #[test]
    fn duplicates_name_who_requires_each_version() {
        let locked = |name: &str, version: &str, requires: &[usize]| Locked {
            name: name.into(),
            version: version.into(),
            origin: Origin::Path,
            requires: requires.to_vec(),
        };
        let packages = [
            locked("app", "0.1.0", &[1, 3]),
            locked("mid", "0.1.0", &[2]),
            locked("syn", "1.0.0", &[]),
            locked("syn", "2.0.0", &[]),
        ];
        let found = duplicates(&packages);
        let expected = Duplicate {
            name: "syn".into(),
            versions: vec![("1.0.0".into(), vec!["mid".into()]), ("2.0.0".into(), vec!["app".into()])],
        };
        assert_eq!(found, [expected]);
    }
}
