//! Suggests a similar name for one that does not exist.

use nq_core::id::MAX_ID_LEN;
use nq_core::limits;

pub(super) fn hint(near: Option<&str>) -> String {
    near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default()
}

/// The name that is most similar to the text, if any is similar.
pub(super) fn nearest<'a>(text: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    // The search takes time for each byte, and a text from outside may be long.
    let text = &limits::cut_to(text, MAX_ID_LEN);
    let names = names.map(|name| (strsim::jaro_winkler(text, name), name));
    let nearest = names.max_by(|a, b| a.0.total_cmp(&b.0)).filter(|(likeness, _)| *likeness > 0.8);
    nearest.map(|(_, name)| name.to_owned())
}
