//! What somebody may have meant by a name that is not there.

use nq_core::id::MAX_ID_LEN;
use nq_core::limits;

pub(super) fn hint(near: Option<&str>) -> String {
    near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default()
}

/// The name that is most like what was written, if one is like it at all.
pub(super) fn nearest<'a>(text: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    // Looking for similar names takes time for each byte.
    let text = &limits::cut_to(text, MAX_ID_LEN);
    let names = names.map(|name| (strsim::jaro_winkler(text, name), name));
    let nearest = names.max_by(|a, b| a.0.total_cmp(&b.0)).filter(|(likeness, _)| *likeness > 0.8);
    nearest.map(|(_, name)| name.to_owned())
}
