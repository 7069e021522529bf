//! Lists of runs.

use nq_core::id::{IdError, Name};
use nq_core::record::RunRecord;
use nq_core::status::RunStatus;
use nq_core::store::{RunsPage, RunsQuery, StoreError};

use super::Client;

/// Runs could not be listed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunsError {
    /// The text is not the name of a flow.
    #[error(transparent)]
    Id(#[from] IdError),
    /// The store could not be asked, or the cursor did not come from an earlier page.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Client {
    /// The runs, newest first.
    ///
    /// ```
    /// # async fn example(nq: nq::Client) -> nq::Result<()> {
    /// let failed = nq.runs().flow("order").status(nq::RunStatus::Failed).limit(20).page().await?;
    /// for run in failed.runs {
    ///     println!("{} began at {}", run.run, run.started_ms);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn runs(&self) -> Runs<'_> {
        Runs { client: self, query: RunsQuery::default(), bad: None }
    }
}

/// A list of runs: say which, then ask for a page or for all.
#[must_use = "nothing is asked before `.page()`"]
#[derive(Clone, Debug)]
pub struct Runs<'a> {
    client: &'a Client,
    query: RunsQuery,
    bad: Option<IdError>,
}

impl Runs<'_> {
    /// Lists only runs of this flow.
    ///
    /// ```
    /// # async fn example(nq: nq::Client) -> nq::Result<()> {
    /// let orders = nq.runs().flow("order").all().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn flow(mut self, flow: &str) -> Self {
        match Name::new(flow) {
            Ok(flow) => self.query.flow = Some(flow),
            Err(error) => self.bad = Some(error),
        }
        self
    }

    /// Lists only runs with this status.
    ///
    /// ```
    /// # async fn example(nq: nq::Client) -> nq::Result<()> {
    /// let running = nq.runs().status(nq::RunStatus::Running).all().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn status(mut self, status: RunStatus) -> Self {
        self.query.status = Some(status);
        self
    }

    /// The most runs of a page: 100 by default, 1,000 at most.
    ///
    /// ```
    /// # async fn example(nq: nq::Client) -> nq::Result<()> {
    /// let newest = nq.runs().limit(1).page().await?.runs.pop();
    /// # Ok(())
    /// # }
    /// ```
    pub fn limit(mut self, limit: usize) -> Self {
        self.query.limit = limit;
        self
    }

    /// Goes on where an earlier page ended: the cursor is its `next`.
    ///
    /// ```
    /// # async fn example(nq: nq::Client) -> nq::Result<()> {
    /// if let Some(next) = nq.runs().page().await?.next {
    ///     let second = nq.runs().after(next).page().await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn after(mut self, cursor: impl Into<String>) -> Self {
        self.query.cursor = Some(cursor.into());
        self
    }

    /// One page of runs.
    ///
    /// ```
    /// # async fn example(nq: nq::Client) -> nq::Result<()> {
    /// let mut runs = nq.runs().limit(50);
    /// while let Some(next) = runs.clone().page().await?.next {
    ///     runs = runs.after(next);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn page(self) -> Result<RunsPage, RunsError> {
        if let Some(error) = self.bad {
            return Err(error.into());
        }
        Ok(self.client.store().runs(&self.query).await?)
    }

    /// Every run, page by page.
    ///
    /// ```
    /// # async fn example(nq: nq::Client) -> nq::Result<()> {
    /// for run in nq.runs().status(nq::RunStatus::Stalled).all().await? {
    ///     println!("{} of {}", run.run, run.flow);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn all(mut self) -> Result<Vec<RunRecord>, RunsError> {
        let mut all = Vec::new();
        loop {
            let page = self.clone().page().await?;
            all.extend(page.runs);
            match page.next {
                Some(next) => self.query.cursor = Some(next),
                None => return Ok(all),
            }
        }
    }
}
