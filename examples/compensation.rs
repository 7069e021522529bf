//! Compensation: the flow goes on by a value that is recorded, and undoing is a worker like any other.

use nq::prelude::*;
use serde::{Deserialize, Serialize};

#[nq::event]
struct TripBooked {
    traveller: String,
    cents: u64,
}

#[nq::event]
struct SeatHeld {
    traveller: String,
    seat: String,
    cents: u64,
}

#[nq::event]
struct PaymentDeclined {
    seat: String,
    why: String,
}

/// What the bank said. To be declined is an answer, not an error: it is recorded, and no attempt asks again.
#[derive(Serialize, Deserialize)]
enum Charged {
    Paid { receipt: String },
    Declined { why: String },
}

#[nq::worker(flow = "trip", emits = [SeatHeld])]
async fn hold_seat(trip: TripBooked, ctx: Ctx<hold_seat>) -> nq::Result<()> {
    let key = ctx.idempotency_key();
    let seat = ctx.run("hold a seat", || airline::hold(&trip.traveller, &key)).await?;
    ctx.emit(SeatHeld { traveller: trip.traveller, seat, cents: trip.cents })?;
    Ok(())
}

#[nq::worker(flow = "trip", subscribes = [SeatHeld], emits = [PaymentDeclined], retries = 10)]
async fn charge(held: SeatHeld, ctx: Ctx<charge>) -> nq::Result<Option<String>> {
    let key = ctx.idempotency_key();
    // A bank that does not answer is an error, which the retries are for.
    match ctx.run("charge", || bank::charge(held.cents, &key)).await? {
        Charged::Paid { receipt } => Ok(Some(receipt)),
        Charged::Declined { why } => {
            ctx.emit(PaymentDeclined { seat: held.seat, why })?;
            Ok(None)
        }
    }
}

/// Undoes what `hold_seat` did. It is retried for long: nobody else would do it.
#[nq::worker(flow = "trip", subscribes = [PaymentDeclined], retries = 50)]
async fn release_seat(declined: PaymentDeclined, ctx: Ctx<release_seat>) -> nq::Result<String> {
    ctx.run("release the seat", || airline::release(&declined.seat)).await?;
    Ok(format!("seat {} is free again: {}", declined.seat, declined.why))
}

nq::registry!();

#[tokio::main]
async fn main() -> nq::Result<()> {
    let nq = nq::open("memory:").await?.start().await?;
    for cents in [19_900, 1_000_000] {
        let run = nq.start::<hold_seat>(TripBooked { traveller: "Ada".into(), cents }).await?;
        println!("{}", run.completed().await?.result::<String>()?.unwrap_or_default());
    }
    nq.shutdown().await?;
    Ok(())
}

/// A request takes some time.
async fn travel() {
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
}

/// An airline that always answers.
mod airline {
    use super::travel;

    pub(crate) async fn hold(_traveller: &str, _key: &str) -> Result<String, std::io::Error> {
        travel().await;
        Ok("12A".into())
    }

    pub(crate) async fn release(_seat: &str) -> Result<(), std::io::Error> {
        travel().await;
        Ok(())
    }
}

/// A bank that declines large payments.
mod bank {
    use super::{Charged, travel};

    pub(crate) async fn charge(cents: u64, _key: &str) -> Result<Charged, std::io::Error> {
        travel().await;
        Ok(if cents < 100_000 {
            Charged::Paid { receipt: format!("paid {}.{:02}", cents / 100, cents % 100) }
        } else {
            Charged::Declined { why: "the limit of the card".into() }
        })
    }
}
