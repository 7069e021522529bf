//! The part of the README that shows the figures.

use anyhow::{Context as _, Result};

use super::figures::Report;
use super::table::{notes, tables};

const BEGIN: &str = "<!-- cargo xtask bench peers -->";
const END: &str = "<!-- end of cargo xtask bench peers -->";

/// What stands between the marks: the chart, the tables, what is not in them and why, and where they come from.
pub(super) fn section(report: &Report, chart: &str, figures: &str) -> String {
    let machine = &report.machine;
    let versions: Vec<_> =
        report.versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
    let mut text = format!("![nq beside its peers]({chart})\n\n{}\n", tables(report));
    for note in notes(report) {
        text += &format!("- {note}\n");
    }
    text += &format!(
        "\nMedians, ± how far a round lies from its median at most; measured by `{}` on {} cores ({}), {} GiB, {}; {}. \
         All figures: [{figures}]({figures}).\n",
        report.command,
        machine.cores,
        machine.processor,
        machine.memory_gib,
        machine.system,
        versions.join(", "),
    );
    text
}

/// The README with this between its marks.
pub(super) fn rewritten(readme: &str, section: &str) -> Result<String> {
    let lacks = || format!("the README has no lines `{BEGIN}` and, after it, `{END}`");
    let (before, rest) = readme.split_once(BEGIN).with_context(lacks)?;
    let (_, after) = rest.split_once(END).with_context(lacks)?;
    Ok(format!("{before}{BEGIN}\n{}\n{END}{after}", section.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::super::figures::{Figures, Machine, Sample};
    use super::*;

    #[test]
    fn only_what_stands_between_the_marks_is_written_anew() {
        let readme = format!("# nq\n\n{BEGIN}\nold\n\nolder\n{END}\n\nMore.\n");
        let once = rewritten(&readme, "new\n\n").unwrap();
        assert_eq!(once, format!("# nq\n\n{BEGIN}\nnew\n{END}\n\nMore.\n"));
        assert_eq!(rewritten(&once, "new").unwrap(), once);
    }

    #[test]
    fn a_readme_without_marks_is_refused() {
        for readme in ["# nq\n", &format!("{BEGIN}\n"), &format!("{END}\n{BEGIN}\n")] {
            let error = rewritten(readme, "new").unwrap_err().to_string();
            assert!(error.contains(BEGIN), "{error}");
        }
    }

    #[test]
    fn the_section_says_how_and_on_what_it_was_measured() {
        let machine =
            Machine { cores: 2, processor: "A Processor".into(), memory_gib: 23, system: "linux".into() };
        let figures = Some(Figures { done: 10, seconds: 1.0, ..Figures::default() });
        let (who, workload) = ("nq".to_owned(), "drain".to_owned());
        let sample = Sample { who, workload, at: 50, figures, ..Sample::default() };
        let versions =
            [("redis", "7.0.15"), ("nq", "0.1.0")].map(|(a, b)| (a.to_owned(), b.to_owned())).into();
        let command = "cargo xtask bench peers --rounds 3".to_owned();
        let report = Report { version: 1, command, machine, versions, samples: vec![sample] };
        let section = section(&report, "docs/a.svg", "docs/a.json");
        for part in [
            "![nq beside its peers](docs/a.svg)",
            "| jobs/s, 50 at a time",
            "`cargo xtask bench peers --rounds 3` on 2 cores (A Processor), 23 GiB, linux; nq 0.1.0, redis 7.0.15.",
            "[docs/a.json](docs/a.json)",
        ] {
            assert!(section.contains(part), "{part}\n{section}");
        }
    }
}
