//! What was measured, as it is kept in a file, and what it comes to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The version of the file.
pub(super) const VERSION: u32 = 1;

/// A whole run of the benchmark.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    pub(super) version: u32,
    /// The command that measured it.
    pub(super) command: String,
    pub(super) machine: Machine,
    /// The versions of nq, its peers, and what they ran on.
    pub(super) versions: BTreeMap<String, String>,
    pub(super) samples: Vec<Sample>,
}

/// What it was measured on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Machine {
    pub(super) cores: usize,
    pub(super) processor: String,
    pub(super) memory_gib: u64,
    pub(super) system: String,
}

/// One measurement.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Sample {
    pub(super) who: String,
    pub(super) workload: String,
    pub(super) at: u32,
    pub(super) appendonly: bool,
    pub(super) round: u32,
    #[serde(flatten)]
    pub(super) figures: Option<Figures>,
    /// Why there are no figures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) failed: Option<String>,
}

/// What a program says of a measurement.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Figures {
    /// Jobs or runs that went through.
    pub(super) done: u64,
    pub(super) seconds: f64,
    /// The processor time of the client for each of them.
    pub(super) client_us: f64,
    /// The processor time of Redis for each of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) server_us: Option<f64>,
    /// From the call that adds a job to the first line of its handler.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) p50_us: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) p99_us: Option<f64>,
    /// What a finished run leaves in Redis.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bytes: Option<f64>,
}

/// What a row of a table shows of a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    PerSecond,
    P50Ms,
    P99Ms,
    ServerUs,
    ClientUs,
    Bytes,
}

impl Value {
    pub(super) fn of(self, figures: &Figures) -> Option<f64> {
        match self {
            Self::PerSecond => (figures.seconds > 0.0).then(|| figures.done as f64 / figures.seconds),
            Self::P50Ms => figures.p50_us.map(|us| us / 1e3),
            Self::P99Ms => figures.p99_us.map(|us| us / 1e3),
            Self::ServerUs => figures.server_us,
            Self::ClientUs => Some(figures.client_us),
            Self::Bytes => figures.bytes,
        }
    }
}

/// What several rounds come to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Middle {
    pub(super) median: f64,
    /// How far the rounds lie from the median, at most, as a part of it.
    pub(super) spread: f64,
}

/// The median of several values, and how far they lie from it.
pub(super) fn middle(mut values: Vec<f64>) -> Option<Middle> {
    values.sort_by(f64::total_cmp);
    let (least, most) = (*values.first()?, *values.last()?);
    let upper = values[values.len() / 2];
    let median = if values.len().is_multiple_of(2) {
        f64::midpoint(values[values.len() / 2 - 1], upper)
    } else {
        upper
    };
    let farthest = (most - median).max(median - least);
    Some(Middle { median, spread: if median == 0.0 { 0.0 } else { farthest / median } })
}

impl Report {
    /// What the rounds of a measurement come to.
    pub(super) fn middle(
        &self,
        who: &str,
        (workload, at): (&str, u32),
        appendonly: bool,
        value: Value,
    ) -> Option<Middle> {
        let samples = self.samples.iter().filter(|sample| {
            sample.who == who
                && sample.workload == workload
                && sample.at == at
                && sample.appendonly == appendonly
        });
        middle(samples.filter_map(|sample| value.of(sample.figures.as_ref()?)).collect())
    }

    /// Whether somebody was measured at all.
    pub(super) fn has(&self, who: &str) -> bool {
        self.samples.iter().any(|sample| sample.who == who)
    }

    /// What failed, each thing once.
    pub(super) fn failures(&self) -> Vec<String> {
        let mut failures: Vec<_> = self
            .samples
            .iter()
            .filter_map(|sample| {
                let Sample { who, workload, at, appendonly, failed, .. } = sample;
                let with = if *appendonly { ", with `appendonly yes`" } else { "" };
                Some(format!("{who}, {workload}, {at} at a time{with}: {}", failed.as_ref()?))
            })
            .collect();
        failures.sort();
        failures.dedup();
        failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_and_the_spread_the_farthest_from_it() {
        let check = |values: &[f64], median: f64, spread: f64| {
            assert_eq!(middle(values.to_vec()), Some(Middle { median, spread }), "{values:?}");
        };
        check(&[7.0], 7.0, 0.0);
        check(&[30.0, 10.0, 20.0], 20.0, 0.5);
        check(&[10.0, 20.0], 15.0, 1.0 / 3.0);
        check(&[40.0, 10.0, 20.0, 30.0], 25.0, 0.6);
        check(&[0.0, 0.0, 0.0], 0.0, 0.0);
        assert_eq!(middle(Vec::new()), None);
    }

    fn sample(who: &str, appendonly: bool, done: u64) -> Sample {
        let figures = Figures { done, seconds: 2.0, ..Figures::default() };
        let (who, workload) = (who.to_owned(), "drain".to_owned());
        Sample { who, workload, at: 50, appendonly, figures: Some(figures), ..Sample::default() }
    }

    #[test]
    fn a_middle_is_of_one_contender_at_one_thing() {
        let failed = Sample { figures: None, failed: Some("it ended".into()), ..sample("nq", false, 0) };
        let samples = vec![
            sample("nq", false, 200),
            sample("nq", false, 400),
            sample("nq", false, 300),
            failed,
            sample("nq", true, 50),
            sample("apalis", false, 10),
        ];
        let report = Report { samples, ..Report::default() };
        let rate = |who, at, appendonly| {
            report.middle(who, ("drain", at), appendonly, Value::PerSecond).map(|middle| middle.median)
        };
        assert_eq!(rate("nq", 50, false), Some(150.0));
        assert_eq!(rate("nq", 50, true), Some(25.0));
        assert_eq!(rate("apalis", 50, false), Some(5.0));
        assert_eq!(rate("nq", 10, false), None);
        assert_eq!(report.middle("nq", ("drain", 50), false, Value::Bytes), None);
        assert_eq!(report.failures(), ["nq, drain, 50 at a time: it ended"]);
    }

    #[test]
    fn what_a_program_says_is_read_and_kept() {
        let line = r#"{"done":10,"seconds":0.5,"clientUs":3.5,"p50Us":250,"p99Us":900}"#;
        let figures: Figures = serde_json::from_str(line).unwrap();
        assert_eq!(Value::P50Ms.of(&figures), Some(0.25));
        assert_eq!(Value::PerSecond.of(&figures), Some(20.0));
        assert_eq!(Value::ServerUs.of(&figures), None);
        let kept = Sample { figures: Some(figures), ..sample("nq", false, 0) };
        let failed = Sample { figures: None, failed: Some("it ended".into()), ..sample("nq", false, 0) };
        for sample in [kept, failed] {
            let text = serde_json::to_string(&sample).unwrap();
            assert_eq!(serde_json::from_str::<Sample>(&text).unwrap(), sample);
        }
    }
}
