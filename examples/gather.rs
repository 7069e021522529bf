//! Fan out and gather: one step for each word, and one that runs when the last of them is done.

use nq::prelude::*;

#[nq::event]
struct TextGiven {
    text: String,
}

#[nq::event]
struct WordFound {
    word: String,
}

#[nq::event]
struct WordMeasured {
    word: String,
    length: usize,
}

#[nq::worker(flow = "longest", emits = [WordFound])]
async fn split(given: TextGiven, ctx: Ctx<split>) -> nq::Result<()> {
    for word in given.text.split_whitespace() {
        ctx.emit(WordFound { word: word.to_owned() })?;
    }
    Ok(())
}

/// Runs once for each word, up to four at a time in each process.
#[nq::worker(flow = "longest", subscribes = [WordFound], emits = [WordMeasured], concurrency = 4)]
async fn measure(found: WordFound, ctx: Ctx<measure>) -> nq::Result<()> {
    let length = found.word.chars().count();
    ctx.emit(WordMeasured { word: found.word, length })?;
    Ok(())
}

/// Runs once, when no step is left that could still lead to a `WordMeasured`: with all of them in the order
/// emitted, or with none where there was none.
#[nq::worker(flow = "longest", gathers = [WordMeasured])]
async fn longest(all: Vec<WordMeasured>) -> nq::Result<Option<String>> {
    Ok(all.into_iter().max_by_key(|measured| measured.length).map(|measured| measured.word))
}

nq::registry!();

#[tokio::main]
async fn main() -> nq::Result<()> {
    let nq = nq::open("memory:").await?.start().await?;
    for text in ["every step is an entry in one timeline", ""] {
        let run = nq.start::<split>(TextGiven { text: text.into() }).await?;
        println!("{text:?}: {:?}", run.completed().await?.result::<String>()?);
    }
    nq.shutdown().await?;
    Ok(())
}
