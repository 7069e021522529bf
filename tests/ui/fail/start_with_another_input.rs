//! A run starts with the input of its entry.

#[nq::event]
struct OrderPlaced {}

#[nq::event]
struct OrderPaid {}

#[nq::worker(flow = "order", emits = [OrderPaid])]
async fn charge(_order: OrderPlaced) {}

#[nq::worker(flow = "order", subscribes = [OrderPaid])]
async fn ship(_paid: OrderPaid) {}

nq::registry!();

async fn start(nq: nq::Client) -> nq::Result<()> {
    nq.start::<charge>(OrderPaid {}).await?;
    nq.start::<ship>(OrderPaid {}).await?;
    Ok(())
}

fn main() {}
