//! The figures as a picture.

use std::fmt::Write as _;

use super::figures::{Report, Value};
use super::plan::{CONTENDERS, Store};
use super::table::number;

/// What a panel shows: its title, and the measurement. All with an append-only file, which is how the docs of nq and of
/// BullMQ say to run Redis.
const PANELS: [(&str, (&str, u32), Value); 5] = [
    ("jobs a second, 50 at a time", ("drain", 50), Value::PerSecond),
    ("jobs a second, 50 at a time, while 50 add", ("live", 50), Value::PerSecond),
    ("runs a second of three steps, 50 at a time", ("chain", 50), Value::PerSecond),
    ("runs a second of ten parts and a gather, 50 at a time", ("fan", 50), Value::PerSecond),
    (
        "milliseconds until a job is picked up at 200 a second, median (shorter is better)",
        PICKUP,
        Value::P50Ms,
    ),
];
const PICKUP: (&str, u32) = ("pickup", 10);

const WIDTH: u32 = 760;
const LEFT: u32 = 120;
const LONGEST: f64 = 530.0;
const BAR: u32 = 20;
const TITLE: u32 = 30;
const MARGIN: u32 = 16;

const STYLE: &str = "\
    text { font: 13px system-ui, sans-serif; fill: #1f2328 }
    .title { font-weight: 600 }
    .ground { fill: #ffffff }
    .nq { fill: #d9480f }
    .peer { fill: #8c959f }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3 }
      .ground { fill: #0d1117 }
      .nq { fill: #ff8a4c }
      .peer { fill: #6e7681 }
    }";

/// The chart as an SVG: bars for everybody who was measured on Redis.
pub(super) fn chart(report: &Report) -> String {
    let mut body = String::new();
    let mut top = MARGIN;
    for (title, workload, value) in PANELS {
        let bars: Vec<_> = CONTENDERS
            .iter()
            .filter(|who| who.store == Store::Redis)
            .filter_map(|who| Some((who, report.middle(who.name, workload, true, value)?.median)))
            .collect();
        let longest = bars.iter().map(|(_, value)| *value).fold(0.0, f64::max);
        if longest == 0.0 {
            continue;
        }
        let _ = writeln!(body, "  <text class=\"title\" x=\"{MARGIN}\" y=\"{}\">{title}</text>", top + 16);
        top += TITLE;
        for (who, value) in bars {
            let class = if who.name == "nq" { "nq" } else { "peer" };
            let width = (value / longest * LONGEST).max(1.0);
            let (text, after) = (top + 14, f64::from(LEFT) + width + 6.0);
            let _ = writeln!(body, "  <text x=\"{MARGIN}\" y=\"{text}\">{}</text>", escaped(who.label));
            let height = BAR - 4;
            let _ = writeln!(
                body,
                "  <rect class=\"{class}\" x=\"{LEFT}\" y=\"{}\" width=\"{width:.1}\" height=\"{height}\" rx=\"2\"/>",
                top + 2
            );
            let _ = writeln!(body, "  <text x=\"{after:.1}\" y=\"{text}\">{}</text>", number(value));
            top += BAR;
        }
        top += MARGIN;
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {top}\" width=\"{WIDTH}\" height=\"{top}\" \
         role=\"img\" aria-label=\"nq beside its peers on one Redis server\">\n  <style>\n{STYLE}\n  </style>\n  \
         <rect class=\"ground\" width=\"{WIDTH}\" height=\"{top}\" rx=\"6\"/>\n{body}</svg>\n"
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::super::figures::{Figures, Sample};
    use super::*;

    fn sample(who: &str, done: u64) -> Sample {
        let figures = Figures { done, seconds: 1.0, ..Figures::default() };
        let (who, workload) = (who.to_owned(), "drain".to_owned());
        Sample { who, workload, at: 50, appendonly: true, figures: Some(figures), ..Sample::default() }
    }

    #[test]
    fn bars_are_as_long_as_their_figures_and_the_longest_fills_the_chart() {
        let samples = vec![sample("nq", 40_000), sample("bullmq-rust", 10_000), sample("nq-sqlite", 9_000)];
        let chart = chart(&Report { samples, ..Report::default() });
        let bars: Vec<_> =
            chart.lines().filter(|line| line.contains("rect") && !line.contains("ground")).collect();
        assert_eq!(bars.len(), 2, "{chart}");
        assert!(bars[0].contains("class=\"nq\"") && bars[0].contains("width=\"530.0\""), "{chart}");
        assert!(bars[1].contains("class=\"peer\"") && bars[1].contains("width=\"132.5\""), "{chart}");
        assert!(chart.contains(">40,000<") && chart.contains(">BullMQ, Rust<"), "{chart}");
        // Of what was not measured there is no panel.
        assert_eq!(chart.matches("class=\"title\"").count(), 1);
        assert!(chart.starts_with("<svg ") && chart.ends_with("</svg>\n"));
    }

    #[test]
    fn nothing_measured_is_an_empty_chart() {
        assert!(!chart(&Report::default()).contains("class=\"nq\""));
    }
}
