//! One of them.

#[nq::worker(flow = "order", subscribes = [super::Payed])]
async fn ship(_paid: super::Payed) {}
