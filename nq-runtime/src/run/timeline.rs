//! The timeline of a run as a stream: first the entries so far, then each new one.

use std::collections::VecDeque;
use std::time::Duration;

use futures_core::stream::BoxStream;
use futures_util::{StreamExt, stream};
use nq_core::entry::Entry;
use nq_core::id::EntryId;
use nq_core::store::{ErrorKind, Interest, Read, StoreError};

use super::Run;

/// How long a reader waits for a hint before it reads anyway.
const LOOK_EVERY: Duration = Duration::from_secs(1);

impl Run {
    /// The timeline: first the entries so far, then each new one, without gap or repeat. It ends after the last entry of a
    /// run that has ended, and after an error. If the store is away, the stream waits for it; if the run is gone, that is
    /// an error. If the store was set back to an older state, and does not have entries that the stream has shown, that is
    /// an error of the kind [`ErrorKind::Lost`].
    ///
    /// ```
    /// use futures_util::StreamExt;
    ///
    /// # async fn example(run: nq::Run) -> Result<(), nq::store::StoreError> {
    /// let mut timeline = run.timeline();
    /// while let Some(entry) = timeline.next().await {
    ///     let entry = entry?;
    ///     println!("{} {} {}", entry.id, entry.kind, entry.data);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn timeline(&self) -> BoxStream<'static, Result<Entry, StoreError>> {
        self.timeline_after(0)
    }

    /// The timeline after this position, for a reader that has seen the entries up to there: the position is `entry.id.n`
    /// of the last of them. If it is the end of a run that has ended, or beyond, the stream ends at once.
    ///
    /// ```
    /// use futures_util::StreamExt;
    ///
    /// # async fn example(run: nq::Run, seen: u64) -> Result<(), nq::store::StoreError> {
    /// let mut rest = run.timeline_after(seen);
    /// while let Some(entry) = rest.next().await {
    ///     println!("{}", entry?.kind);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn timeline_after(&self, after: u64) -> BoxStream<'static, Result<Entry, StoreError>> {
        let follow = Follow {
            run: self.clone(),
            after,
            seen: None,
            page: VecDeque::new(),
            under_way: false,
            ended: false,
        };
        stream::unfold(Some(follow), |follow| async move {
            let mut follow = follow?;
            let next = follow.next().await.transpose()?;
            // The stream ends after an error, since the same error would come again for ever.
            let follow = next.is_ok().then_some(follow);
            Some((next, follow))
        })
        .boxed()
    }
}

/// A reader of a timeline.
struct Follow {
    run: Run,
    after: u64,
    /// The last entry that it has shown.
    seen: Option<EntryId>,
    page: VecDeque<Entry>,
    /// Whether it has read an entry. If so, the terminal entry is still to come.
    under_way: bool,
    ended: bool,
}

impl Follow {
    /// The next entry; none after the last of a run that has ended.
    async fn next(&mut self) -> Result<Option<Entry>, StoreError> {
        loop {
            if let Some(entry) = self.page.pop_front() {
                (self.after, self.seen) = (entry.id.n, Some(entry.id));
                self.under_way = true;
                self.ended |= entry.kind.is_terminal();
                return Ok(Some(entry));
            }
            match self.look().await {
                Ok(true) => return Ok(None),
                Ok(false) => {}
                Err(error) if error.is_retryable() => tokio::time::sleep(LOOK_EVERY / 4).await,
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads a page, or waits for new entries. True if no entry can come any more.
    async fn look(&mut self) -> Result<bool, StoreError> {
        let Run { store, id, .. } = &self.run;
        let read = Read { seen: self.seen, ..Read::after(id.clone(), self.after) };
        self.page = match store.read(&read).await {
            // The stream has shown nothing yet that could be lost.
            Err(error) if error.kind() == ErrorKind::Lost && !self.under_way => VecDeque::new(),
            page => page?.into(),
        };
        if !self.page.is_empty() || self.ended {
            return Ok(self.page.is_empty());
        }
        let mut after = self.after;
        if !self.under_way {
            // The stream began at the end of the run, or beyond it.
            let summary = self.run.summary().await?;
            if summary.status.is_terminal() && after >= summary.last.n {
                return Ok(true);
            }
            after = after.min(summary.last.n);
        }
        store.wait(&Interest::Run { run: id.clone(), after }, LOOK_EVERY).await?;
        Ok(false)
    }
}
