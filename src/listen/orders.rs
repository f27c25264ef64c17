//! What the console asks of the process as a whole. [`Door`](super::Door) does not know where the
//! configuration comes from, nor when the process ends; whoever runs it does.

use tokio::sync::{mpsc, oneshot};

use crate::admin::Shutdown;
use crate::wire::error::PgError;
use crate::wire::trouble;

/// Orders that wait. Each console waits for the answer to its own, so they are few.
const ORDERS_MAX: usize = 8;

/// What the client is told besides that it is done.
pub type Answer = Result<Vec<PgError>, PgError>;

/// One order.
#[derive(Debug)]
pub enum Order {
    /// Read the configuration again; settings that were set are as they were before.
    Reload(oneshot::Sender<Answer>),
    /// Set a setting by its key, or take that back.
    Set(&'static str, Option<String>, oneshot::Sender<Answer>),
    Shutdown(Shutdown),
}

/// Where orders arrive.
pub type Orders = mpsc::Receiver<Order>;

/// Where they are given.
#[derive(Clone, Debug)]
pub(super) struct Desk(mpsc::Sender<Order>);

impl Desk {
    pub(super) fn new() -> (Self, Orders) {
        let (sender, orders) = mpsc::channel(ORDERS_MAX);
        (Self(sender), orders)
    }

    /// Gives an order, and waits for what came of it.
    pub(super) async fn ask(&self, order: impl FnOnce(oneshot::Sender<Answer>) -> Order) -> Answer {
        let (reply, answer) = oneshot::channel();
        self.tell(order(reply)).await?;
        answer.await.map_err(|_gone| stopping())?
    }

    /// Gives an order.
    pub(super) async fn tell(&self, order: Order) -> Result<(), PgError> {
        self.0.send(order).await.map_err(|_gone| stopping())
    }
}

/// There is nobody any more to carry out orders.
pub fn stopping() -> PgError {
    PgError::error(&trouble::CONSOLE_STOPPING, "the process is stopping")
}
