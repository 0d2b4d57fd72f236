//! soon
use crate::checker::Verdict;
use crate::history::Event;
use crate::run::{Outcome, Run};
pub(crate) fn write(
    directory: &std::path::Path,
    run: &Run,
    _h: &[Event],
    verdict: &Verdict,
) -> Outcome<()> {
    std::fs::write(directory.join("run.json"), serde_json::to_vec_pretty(run)?)?;
    std::fs::write(directory.join("verdict.json"), serde_json::to_vec_pretty(verdict)?)?;
    Ok(())
}
