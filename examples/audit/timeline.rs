//! Printing the timeline of a run: a line an entry.

use std::io;

use nq::{Entry, EntryType, Run};
use serde_json::Value;

/// The longest that a line says of what an entry holds, in characters.
const MAX_DATA: usize = 100;

/// Prints everything that has happened in a run so far.
pub(crate) async fn print(run: &Run, out: &mut impl io::Write) -> nq::Result<()> {
    let summary = run.summary().await?;
    let took = match summary.ended_ms {
        Some(ended) => format!(" in {}", seconds(ended - summary.started_ms)),
        None => String::new(),
    };
    let (id, flow, status) = (&summary.run, &summary.flow, summary.status);
    let started = date_time(summary.started_ms);
    writeln!(out, "run {id} of flow {flow}, started {started} UTC, {status}{took}\n")?;
    for entry in run.entries(Vec::new()).await? {
        writeln!(out, "{}", line(&entry))?;
    }
    Ok(())
}

/// One entry: its position, time, type, step, and what it says.
fn line(entry: &Entry) -> String {
    let step = entry.step.as_ref().map(|step| step.worker().as_str()).unwrap_or_default();
    let (n, at, kind) = (entry.id.n, time(entry.id.ms), entry.kind.as_str());
    let data: String = said(entry).chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let short = match data.char_indices().nth(MAX_DATA) {
        Some((end, _)) => format!("{}…", &data[..end]),
        None => data,
    };
    format!("{n:>5}  {at}  {kind:<20}  {step:<15}  {short}").trim_end().to_owned()
}

/// The gist of an entry, by its type.
fn said(entry: &Entry) -> String {
    let data = &entry.data;
    let text = |field: &str| match &data[field] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    match entry.kind {
        EntryType::FlowStarted => text("input"),
        EntryType::FlowCompleted => took(data),
        EntryType::FlowFailed => format!("{}, {}: {}", took(data), text("failedStep"), text("error")),
        EntryType::StepStarted => format!("attempt {} on {}", entry.attempt.unwrap_or(1), text("instance")),
        EntryType::StepCompleted => text("result"),
        EntryType::StepFailed => text("error"),
        EntryType::StepRetrying => {
            format!("attempt {} in {} ms: {}", text("nextAttempt"), text("delayMs"), text("error"))
        }
        EntryType::EventEmitted => format!("{} {}", text("name"), text("payload")),
        EntryType::StateSet => format!("{} = {}", text("key"), text("value")),
        EntryType::StateBatch => text("operations"),
        EntryType::LogDebug | EntryType::LogInfo | EntryType::LogWarn | EntryType::LogError => {
            format!("{} {}", text("message"), text("fields"))
        }
        _ if data.is_null() => String::new(),
        _ => data.to_string(),
    }
}

fn took(data: &Value) -> String {
    data["durationMs"].as_u64().map(seconds).unwrap_or_default()
}

/// A duration for people.
pub(crate) fn seconds(ms: u64) -> String {
    format!("{}.{:03} s", ms / 1000, ms % 1000)
}

/// The time of a day, in UTC: `10:00:00.123`.
fn time(ms: u64) -> String {
    let seconds = ms / 1000;
    format!("{:02}:{:02}:{:02}.{:03}", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60, ms % 1000)
}

/// A day and the time of it, in UTC: `2026-01-31 10:00:00`.
pub(crate) fn date_time(ms: u64) -> String {
    // Years that begin in March end with the day that leap years add.
    let days = ms / 86_400_000 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year}-{month:02}-{day:02} {}", &time(ms)[..8])
}

#[cfg(test)]
mod tests {
    use nq::EntryId;
    use serde_json::json;

    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let cases = [
            (0, "1970-01-01 00:00:00"),
            (951_782_399_999, "2000-02-28 23:59:59"),
            (951_868_800_000, "2000-03-01 00:00:00"),
            (1_709_164_800_000, "2024-02-29 00:00:00"),
            (4_107_542_399_000, "2100-02-28 23:59:59"),
            (4_107_542_400_000, "2100-03-01 00:00:00"),
        ];
        for (ms, expected) in cases {
            assert_eq!(date_time(ms), expected);
        }
    }

    #[test]
    fn a_line_has_position_time_type_step_and_gist() {
        let entry = |kind, data| Entry {
            id: EntryId { ms: 36_000_123, n: 7 },
            kind,
            step: Some("inspect@1-2".parse().unwrap()),
            attempt: Some(2),
            data,
        };
        let lines = [
            line(&entry(EntryType::StepStarted, json!({ "instance": "i-1" }))),
            line(&entry(EntryType::StateBatch, json!({ "operations": [{ "key": "x".repeat(200) }] }))),
            line(&entry(EntryType::LogWarn, json!({ "message": "two\nlines", "fields": { "a": 1 } }))),
            line(&entry(EntryType::Other("from.the.future".into()), json!({ "a": 1 }))),
        ];
        let begin = "    7  10:00:00.123  ";
        let expected = [
            format!("{begin}flow.step.started     inspect          attempt 2 on i-1"),
            format!("{begin}state.batch           inspect          [{{\"key\":\"{}…", "x".repeat(91)),
            format!("{begin}log.warn              inspect          two lines {{\"a\":1}}"),
            format!("{begin}from.the.future       inspect          {{\"a\":1}}"),
        ];
        assert_eq!(lines, expected);
    }
}
