//! What the database says of names: which functions could change a session's state unseen.

pub mod snapshot;

pub use snapshot::Snapshot;
use std::sync::Arc;
#[derive(Debug, Default)]
pub struct Catalog;
impl Catalog {
    pub fn snapshot(&self) -> Option<Arc<Snapshot>> {
        None
    }
    pub fn invalidate(&self) {}
    pub async fn keep<D>(self: Arc<Self>, _d: D, _p: std::time::Duration) {}
}
