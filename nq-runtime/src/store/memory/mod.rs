//! Stand-in.
use nq_core::entry::*;
use nq_core::id::*;
use nq_core::store::*;
use nq_core::transaction::*;
#[derive(Debug)]
pub struct MemoryStore;
impl MemoryStore {
    pub fn new() -> Self {
        Self
    }
}
#[async_trait::async_trait]
impl Store for MemoryStore {
    async fn turn(&self, _: &Turn) -> Result<TurnReply, StoreError> {
        panic!()
    }
    async fn start(&self, _: &Start) -> Result<Started, StoreError> {
        panic!()
    }
    async fn act(&self, _: &RunId, _: &Act) -> Result<Acted, StoreError> {
        panic!()
    }
    async fn append(&self, _: &RunId, _: &[LogLine]) -> Result<(), StoreError> {
        panic!()
    }
    async fn wait(&self, _: &Interest, _: std::time::Duration) -> Result<(), StoreError> {
        panic!()
    }
    async fn tick(&self, _: &Tick) -> Result<Ticked, StoreError> {
        panic!()
    }
    async fn leave(&self, _: &InstanceId) -> Result<(), StoreError> {
        panic!()
    }
    async fn read(&self, _: &Read) -> Result<Vec<Entry>, StoreError> {
        panic!()
    }
    async fn gathered(
        &self,
        _: &RunId,
        _: &Name,
        _: u64,
        _: u64,
        _: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        panic!()
    }
    async fn run(&self, _: &RunId) -> Result<Option<RunSummary>, StoreError> {
        panic!()
    }
    async fn runs(&self, _: &RunsQuery) -> Result<RunsPage, StoreError> {
        panic!()
    }
    async fn queues(&self) -> Result<Vec<QueueCounts>, StoreError> {
        panic!()
    }
    async fn jobs(&self, _: &JobsQuery) -> Result<Vec<JobSummary>, StoreError> {
        panic!()
    }
    async fn pause(&self, _: &QueueName, _: bool) -> Result<(), StoreError> {
        panic!()
    }
}
