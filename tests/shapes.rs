//! Workers and events of every shape and name that Rust allows: the macros read them as rustc does.

#![expect(deprecated, clippy::toplevel_ref_arg, reason = "a worker may have what lints advise against")]

mod support {
    pub(crate) mod stores;
}

use nq::EntryType;
use nq::prelude::*;
use support::stores::on_each_store;

nq::registry!();

/// With names that are keywords, or not of ASCII.
#[nq::event]
struct Asked {
    r#type: u32,
    größe: u32,
}

/// As an enum without fields.
#[nq::event]
enum Nothing {}

#[nq::event]
#[deprecated]
struct Old(u32);

/// Takes its input apart.
#[nq::worker(flow = "größe", emits = [Old, "über"])]
async fn r#type(Asked { r#type, größe: mut n }: Asked, ref ctx: Ctx<r#type>) -> nq::Result<u32> {
    n += r#type;
    ctx.emit(Old(n))?;
    ctx.emit_named("über", nq::Json::from(n))?;
    Ok(n)
}

#[nq::worker(flow = "größe", subscribes = [Old])]
#[deprecated = "it is taken over"]
#[must_use = "it fails"]
async fn größe(mut old: Old, _: Ctx<größe>) -> Result<u32, std::fmt::Error> {
    old.0 += 1;
    Ok(old.0)
}

/// Named like a module, a macro and a type of the standard library.
#[nq::worker(flow = "größe", subscribes = ["über"])]
async fn vec(n: u32) -> Result<Vec<u32>, Box<dyn std::error::Error + Send + Sync>> {
    Ok(vec![n])
}

#[cfg(any())]
#[nq::worker(flow = "größe", subscribes = [NotThere])]
async fn left_out(_: NotThere) {}

#[nq::worker(name = "plain")]
#[cfg(test)]
pub(crate) async fn left_in(_: Nothing) -> nq::Result<()>
where
    Nothing: Send,
{
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_of_every_shape_run() {
    on_each_store(
        |builder| builder,
        async |nq| {
            let run = nq.start::<r#type>(Asked { r#type: 1, größe: 2 }).await.unwrap();
            run.completed().await.unwrap();
            let done = run.entries(vec![EntryType::StepCompleted]).await.unwrap();
            let line = |entry: &nq::Entry| {
                format!("{} {}", entry.step.as_ref().unwrap().worker().as_str(), entry.data["result"])
            };
            let mut lines: Vec<_> = done.iter().map(line).collect();
            lines.sort();
            assert_eq!(lines, ["größe 4", "type 3", "vec [3]"]);
        },
    )
    .await;
}
