//! The program of the front page: an order is charged, then shipped, and a crash loses neither.
#![allow(missing_docs, reason = "a page that is read at a glance")]

use nq::prelude::*;

/// A customer placed an order.
#[nq::event] // serde + JsonSchema + Event; name `order.placed`
pub struct OrderPlaced {
    pub order: u64,
    pub cents: u64,
}

#[nq::event]
pub struct OrderPaid {
    pub order: u64,
    pub receipt: String,
}

#[nq::worker(flow = "order", emits = [OrderPaid], retries = 5, timeout = "30s")]
async fn charge(order: OrderPlaced, ctx: Ctx<charge>, bank: Data<Bank>) -> nq::Result<()> {
    let key = ctx.idempotency_key(); // the same on every attempt
    let receipt = ctx.run("charge card", || bank.charge(order.cents, &key)).await?; // recorded: not run again
    ctx.state().set("receipt", &receipt)?;
    ctx.emit(OrderPaid { order: order.order, receipt })?;
    Ok(())
}

#[nq::worker(flow = "order", subscribes = [OrderPaid], concurrency = 8)]
async fn ship(paid: OrderPaid, ctx: Ctx<ship>) -> nq::Result<()> {
    tracing::info!(order = paid.order, receipt = paid.receipt, "shipped");
    ctx.state().set("shipped", &true)?;
    Ok(())
}

nq::registry!(); // once, at the crate root: rustc proves the graph

#[tokio::main]
async fn main() -> nq::Result<()> {
    let nq = nq::open("sqlite:orders.db").await?.data(Bank::new()).start().await?;
    let run = nq.start::<charge>(OrderPlaced { order: 7, cents: 1999 }).await?;
    run.completed().await?;
    nq.shutdown().await?;
    Ok(())
}

/// A bank that is always there. It knows a payment by its key, and takes no money twice.
pub struct Bank {
    receipts: std::sync::Mutex<std::collections::HashMap<String, String>>,
}

impl Bank {
    fn new() -> Self {
        Self { receipts: std::sync::Mutex::default() }
    }

    async fn charge(&self, cents: u64, key: &str) -> Result<String, BankError> {
        // A request takes some time.
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        let mut receipts = self.receipts.lock().map_err(|_| BankError)?;
        let number = receipts.len() + 1;
        let receipt = || format!("receipt {number} over {}.{:02}", cents / 100, cents % 100);
        Ok(receipts.entry(key.to_owned()).or_insert_with(receipt).clone())
    }
}

/// The bank did not do it.
#[derive(Debug, thiserror::Error)]
#[error("the bank is closed")]
pub struct BankError;

#[cfg(test)]
mod tests {
    use super::*;

    // A worker is the function that it was: a test calls it.
    #[tokio::test]
    async fn an_order_is_charged_once() {
        let (ctx, bank) = (Ctx::for_test(), Data::new(Bank::new()));
        for _attempt in 0..2 {
            let order = OrderPlaced { order: 7, cents: 1999 };
            charge(order, ctx.clone(), bank.clone()).await.unwrap();
        }
        let paid: Vec<_> = ctx.emitted::<OrderPaid>().into_iter().map(|paid| paid.receipt).collect();
        assert_eq!(paid, ["receipt 1 over 19.99", "receipt 1 over 19.99"]);
        assert_eq!(ctx.state().get::<String>("receipt").await.unwrap().as_ref(), Some(&paid[0]));
    }

    #[tokio::test]
    async fn what_is_paid_is_shipped() {
        let ctx = Ctx::for_test();
        ship(OrderPaid { order: 7, receipt: "r".into() }, ctx.clone()).await.unwrap();
        assert_eq!(ctx.state().get("shipped").await.unwrap(), Some(true));
    }

    #[test]
    fn the_program_runs() {
        let folder = tempfile::tempdir().unwrap();
        std::env::set_current_dir(folder.path()).unwrap();
        main().unwrap();
        assert!(folder.path().join("orders.db").exists());
    }
}
