//! Prints the findings and changes, for people and for programs.

use std::fmt::Write as _;

use nq_core::export::{Change, Effect, Finding};
use serde_json::{Value, json};

use super::Format;

/// The findings, and whether one of them is more than a hint.
pub(super) fn findings(findings: &[Finding], format: Format) -> (String, bool) {
    let text = match format {
        Format::Json => lines(&json!({ "findings": findings })),
        _ if findings.is_empty() => "nothing suspicious\n".to_owned(),
        _ => findings.iter().fold(String::new(), |mut text, found| {
            let Finding { rule, message, help, file, line, hint, .. } = found;
            let hint = if *hint { " (a hint)" } else { "" };
            let _ = writeln!(text, "{rule}{hint}: {message}\n  --> {file}:{line}\n  help: {help}\n");
            text
        }),
    };
    (text, findings.iter().any(|found| !found.hint))
}

/// The changes, and whether one breaks, or may break, a run.
pub(super) fn changes(changes: &[Change], format: Format) -> (String, bool) {
    let count = |effect| changes.iter().filter(|change| change.effect == effect).count();
    let (breaks, may_break, safe) = (count(Effect::Breaks), count(Effect::MayBreak), count(Effect::Safe));
    let text = match format {
        Format::Json => {
            lines(&json!({ "breaks": breaks, "mayBreak": may_break, "safe": safe, "changes": changes }))
        }
        _ if changes.is_empty() => "no change that concerns runs in flight\n".to_owned(),
        _ => {
            let mut text = String::new();
            for change in changes {
                let effect = match change.effect {
                    Effect::Breaks => "breaks",
                    Effect::MayBreak => "may break",
                    Effect::Safe => "safe",
                };
                let flow = change.flow.as_ref().map(|flow| format!(" [{flow}]")).unwrap_or_default();
                let _ = writeln!(text, "{effect:<10}{flow} {}", change.message);
            }
            let _ = writeln!(text, "\n{breaks} break runs in flight, {may_break} may, {safe} are safe");
            text
        }
    };
    (text, breaks + may_break > 0)
}

fn lines(value: &Value) -> String {
    format!("{value:#}\n")
}
