//! E-mails from a step: sent once each, though the step may run several times.

use nq::prelude::*;

#[nq::event]
struct SignedUp {
    name: String,
    address: String,
}

/// The mail server is away often enough: half a minute between attempts, for some hours.
#[nq::worker(flow = "welcome", retries = 500, backoff = fixed("30s"), timeout = "1m", concurrency = 4)]
async fn welcome(user: SignedUp, ctx: Ctx<welcome>, mailer: Data<Mailer>) -> nq::Result<String> {
    let mail = Mail {
        to: user.address,
        subject: format!("Welcome, {}", user.name),
        // The server knows a message by its id. A crash after the server took the message and before this was
        // recorded sends it again under the same id, and the server drops the second.
        message_id: format!("<{}@shop.example>", ctx.idempotency_key()),
    };
    // The act returns what a later attempt needs, which is small and serialisable: here the answer of the server.
    let answer = ctx.run("send the mail", || mailer.send(&mail)).await?;
    Ok(answer)
}

nq::registry!();

#[tokio::main]
async fn main() -> nq::Result<()> {
    // Connections, clients and secrets are provided once, and never part of an event: events are stored.
    let nq = nq::open("memory:").await?.data(Mailer::default()).start().await?;
    let user = SignedUp { name: "Ada".into(), address: "ada@example.org".into() };
    let run = nq.start::<welcome>(user).await?;
    println!("{}", run.completed().await?.result::<String>()?.unwrap_or_default());
    nq.shutdown().await?;
    Ok(())
}

struct Mail {
    to: String,
    subject: String,
    message_id: String,
}

/// A mail server that takes everything, each message once.
#[derive(Default)]
struct Mailer {
    taken: std::sync::Mutex<std::collections::HashSet<String>>,
}

impl Mailer {
    async fn send(&self, mail: &Mail) -> Result<String, std::io::Error> {
        // A request takes some time.
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        let mut taken = self.taken.lock().map_err(|_| std::io::Error::other("the mail server is away"))?;
        let new = taken.insert(mail.message_id.clone());
        let said = if new { "250 taken" } else { "250 had it" };
        Ok(format!("{said}: {} for {}", mail.subject, mail.to))
    }
}
