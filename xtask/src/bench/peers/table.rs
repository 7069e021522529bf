//! The figures as tables.

use super::figures::{Middle, Report, Value};
use super::plan::{CONTENDERS, Contender, Store, left_out};

/// A row: what it is called, and what it shows.
struct Row {
    title: &'static str,
    workload: (&'static str, u32),
    appendonly: bool,
    values: &'static [Value],
}

const fn row(
    title: &'static str,
    workload: (&'static str, u32),
    appendonly: bool,
    values: &'static [Value],
) -> Row {
    Row { title, workload, appendonly, values }
}

impl Row {
    /// What its group is, where that has to be said.
    fn group(&self) -> &'static str {
        match self.values {
            _ if self.appendonly => "**with `appendonly yes`:** ",
            [Value::ServerUs, Value::ClientUs] => "**µs of a processor,** of Redis / of the client: ",
            [Value::ClientUs] => "**µs of a processor:** ",
            _ => "",
        }
    }
}

const RATE: &[Value] = &[Value::PerSecond];
const WAITS: &[Value] = &[Value::P50Ms, Value::P99Ms];
const COST: &[Value] = &[Value::ServerUs, Value::ClientUs];

const ON_REDIS: [Row; 20] = [
    row("jobs/s, 1 at a time", ("drain", 1), false, RATE),
    row("jobs/s, 10 at a time", ("drain", 10), false, RATE),
    row("jobs/s, 50 at a time", ("drain", 50), false, RATE),
    row("jobs/s, 256 at a time", ("drain", 256), false, RATE),
    row("jobs/s, 50 at a time, while 50 add", ("live", 50), false, RATE),
    row("pickup at 200 jobs/s, p50 / p99, ms", ("pickup", 10), false, WAITS),
    row("runs/s of three steps, 50 at a time", ("chain", 50), false, RATE),
    row("runs/s of ten parts and a gather, 50 at a time", ("fan", 50), false, RATE),
    row("jobs/s, 1 at a time", ("drain", 1), true, RATE),
    row("jobs/s, 10 at a time", ("drain", 10), true, RATE),
    row("jobs/s, 50 at a time", ("drain", 50), true, RATE),
    row("jobs/s, 256 at a time", ("drain", 256), true, RATE),
    row("jobs/s, 50 at a time, while 50 add", ("live", 50), true, RATE),
    row("pickup at 200 jobs/s, p50 / p99, ms", ("pickup", 10), true, WAITS),
    row("runs/s of three steps, 50 at a time", ("chain", 50), true, RATE),
    row("runs/s of ten parts and a gather, 50 at a time", ("fan", 50), true, RATE),
    row("a job, 50 at a time", ("drain", 50), false, COST),
    row("a run of three steps, 50 at a time", ("chain", 50), false, COST),
    row("a run of ten parts and a gather, 50 at a time", ("fan", 50), false, COST),
    row("**bytes in Redis** that a finished run of three steps leaves", ("kept", 50), false, &[Value::Bytes]),
];

const EMBEDDED: [Row; 6] = [
    row("jobs/s, 50 at a time", ("drain", 50), false, RATE),
    row("pickup at 20 jobs/s, p50 / p99, ms", ("pickup", 10), false, WAITS),
    row("runs/s of three steps, 50 at a time", ("chain", 50), false, RATE),
    row("runs/s of ten parts and a gather, 50 at a time", ("fan", 50), false, RATE),
    row("a job, 50 at a time", ("drain", 50), false, &[Value::ClientUs]),
    row("a run of three steps, 50 at a time", ("chain", 50), false, &[Value::ClientUs]),
];

/// The tables, in Markdown that also reads well in a terminal: on Redis, and embedded. What was not measured is not
/// there.
pub(super) fn tables(report: &Report) -> String {
    let tables = [(&ON_REDIS[..], true), (&EMBEDDED[..], false)].map(|(rows, on_redis)| {
        let columns: Vec<_> = CONTENDERS
            .iter()
            .filter(|who| (who.store == Store::Redis) == on_redis && report.has(who.name))
            .collect();
        table(report, rows, &columns)
    });
    tables.into_iter().flatten().collect::<Vec<_>>().join("\n")
}

fn table(report: &Report, rows: &[Row], columns: &[&Contender]) -> Option<String> {
    let first = if columns.first()?.store == Store::Redis { "on Redis" } else { "embedded" };
    let mut lines = vec![std::iter::once(first.to_owned()).chain(columns.iter().map(|who| who.label.into()))]
        .into_iter()
        .map(Iterator::collect::<Vec<String>>)
        .collect::<Vec<_>>();
    let mut group = "";
    for row in rows {
        let cells: Vec<_> = columns.iter().map(|who| cell(report, who, row)).collect();
        if cells.iter().any(Option::is_some) {
            let cells = cells.into_iter().map(|cell| cell.unwrap_or_else(|| "–".into()));
            // The first row of a group says what the group is.
            let opening = if row.group() == group { "" } else { row.group() };
            group = row.group();
            lines.push(std::iter::once(format!("{opening}{}", row.title)).chain(cells).collect());
        }
    }
    Some(aligned(&lines))
}

/// What a contender reached in a row.
fn cell(report: &Report, who: &Contender, row: &Row) -> Option<String> {
    let shown = row.values.iter().filter_map(|value| {
        let middle = report.middle(who.name, row.workload, row.appendonly, *value)?;
        Some(number(middle.median) + &spread(middle))
    });
    let shown: Vec<_> = shown.collect();
    (!shown.is_empty()).then(|| shown.join(" / "))
}

/// Why cells are empty.
pub(super) fn notes(report: &Report) -> Vec<String> {
    let mut notes = Vec::new();
    for who in CONTENDERS.iter().filter(|who| report.has(who.name)) {
        for (workload, title) in [("chain", "a run of three steps"), ("fan", "ten parts and a gather")] {
            if let Some(why) = left_out(who.name, workload) {
                notes.push(format!("{}, {title}: {why}.", who.label));
            }
        }
    }
    notes.extend(report.failures().into_iter().map(|failure| failure + "."));
    notes
}

fn spread(middle: Middle) -> String {
    let percent = middle.spread * 100.0;
    if percent < 0.5 { String::new() } else { format!(" ±{percent:.0}%") }
}

/// A number with three digits that count, and commas.
pub(super) fn number(value: f64) -> String {
    if value < 100.0 {
        let digits = if value < 1.0 {
            3
        } else if value < 10.0 {
            2
        } else {
            1
        };
        return format!("{value:.digits$}");
    }
    let unit = 10_f64.powi(value.log10().floor() as i32 - 2);
    let digits = format!("{:.0}", (value / unit).round() * unit);
    let mut shown = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// The lines as a table of Markdown whose columns stand below each other.
fn aligned(lines: &[Vec<String>]) -> String {
    let columns = lines.first().map_or(0, Vec::len);
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..columns).map(width).collect();
    let mut table = String::new();
    for (index, line) in lines.iter().enumerate() {
        for (column, text) in line.iter().enumerate() {
            let width = widths[column];
            table += &if column == 0 { format!("| {text:<width$} ") } else { format!("| {text:>width$} ") };
        }
        table += "|\n";
        if index == 0 {
            for (column, width) in widths.iter().enumerate() {
                table += &if column == 0 {
                    format!("|{}", "-".repeat(width + 2))
                } else {
                    format!("|{}:", "-".repeat(width + 1))
                };
            }
            table += "|\n";
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::super::figures::{Figures, Sample};
    use super::*;

    #[test]
    fn numbers_show_three_digits_that_count() {
        let check = |value: f64, shown: &str| assert_eq!(number(value), shown);
        check(0.157_4, "0.157");
        check(2.345, "2.35");
        check(41.27, "41.3");
        check(104.4, "104");
        check(5_648.0, "5,650");
        check(23_885.0, "23,900");
        check(141_849.0, "142,000");
        check(1_234_567.0, "1,230,000");
    }

    fn sample(who: &str, workload: &str, figures: Figures) -> Sample {
        let (who, workload) = (who.to_owned(), workload.to_owned());
        Sample { who, workload, at: 50, figures: Some(figures), ..Sample::default() }
    }

    fn rate(per_second: u64) -> Figures {
        Figures {
            done: per_second,
            seconds: 1.0,
            client_us: 7.5,
            server_us: Some(41.0),
            ..Figures::default()
        }
    }

    #[test]
    fn what_was_measured_stands_in_the_tables_and_nothing_else() {
        let samples = vec![
            sample("nq", "drain", rate(60_000)),
            sample("nq", "drain", rate(50_000)),
            sample("nq", "drain", rate(52_000)),
            sample("rusty-sidekiq", "chain", rate(5_123)),
            sample("duroxide", "chain", rate(96)),
        ];
        let report = Report { samples, ..Report::default() };
        let expected = "\
| on Redis                                                             |          nq | rusty-sidekiq |
|----------------------------------------------------------------------|------------:|--------------:|
| jobs/s, 50 at a time                                                 | 52,000 ±15% |             – |
| runs/s of three steps, 50 at a time                                  |           – |         5,120 |
| **µs of a processor,** of Redis / of the client: a job, 50 at a time | 41.0 / 7.50 |             – |
| a run of three steps, 50 at a time                                   |           – |   41.0 / 7.50 |

| embedded                                                  | duroxide, SQLite |
|-----------------------------------------------------------|-----------------:|
| runs/s of three steps, 50 at a time                       |             96.0 |
| **µs of a processor:** a run of three steps, 50 at a time |             7.50 |
";
        assert_eq!(tables(&report), expected);
        assert_eq!(notes(&report).len(), 1);
        assert!(notes(&report)[0].starts_with("rusty-sidekiq, ten parts and a gather: "));
    }

    #[test]
    fn nothing_measured_is_no_table() {
        assert_eq!(tables(&Report::default()), "");
    }
}
