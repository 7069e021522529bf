//! The panic hook that names the place of a panic leaves the hook of the program in its place. In a process of its own,
//! since there is one hook for all threads.

use std::sync::{Arc, Mutex};

use nq::{Run, RunError};

nq::registry!();

#[nq::event]
struct Go {
    how: String,
}

#[nq::worker(flow = "bold", retries = 0)]
async fn bold(go: Go) -> nq::Result<()> {
    match go.how.as_str() {
        "itself" => panic!("too bold"),
        "in a library" => drop(Vec::<u8>::new().remove(3)),
        // The worker catches this panic, so a later error must not name its place.
        "rethrown" => {
            let quiet = std::panic::catch_unwind(|| panic!("dealt with"));
            assert!(quiet.is_err());
            tokio::task::yield_now().await;
            std::panic::resume_unwind(Box::new("from elsewhere"));
        }
        _ => {
            let panicked = tokio::task::spawn_blocking(|| panic!("in a task")).await.unwrap_err();
            std::panic::resume_unwind(panicked.into_panic());
        }
    }
    Ok(())
}

async fn error_of(run: Run) -> String {
    match run.completed().await.unwrap_err() {
        RunError::Failed { error, .. } => error,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_panic_says_where_it_was_and_reaches_the_hook_of_the_program() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let (before, places) = (std::panic::take_hook(), told.clone());
    std::panic::set_hook(Box::new(move |panic| {
        places.lock().unwrap().push(panic.location().unwrap().to_string());
        before(panic);
    }));
    let nq = nq::open("memory:").await.unwrap().start().await.unwrap();
    let second = nq::open("memory:").await.unwrap().start().await.unwrap();
    for (how, says, has_place) in [
        ("itself", "too bold", true),
        ("in a library", "removal index (is 3) should be < len (is 0)", true),
        ("rethrown", "from elsewhere", false),
        ("in a task", "in a task", false),
    ] {
        let error = error_of(nq.start::<bold>(Go { how: how.into() }).await.unwrap()).await;
        let told = std::mem::take(&mut *told.lock().unwrap());
        assert_eq!(told.len(), 1, "the hook of the program is called, and once: {told:?}");
        assert!(told[0].starts_with("tests/panics.rs:"), "{told:?}");
        let place = if has_place { format!(", at {}", told[0]) } else { String::new() };
        assert_eq!(error, format!("the worker panicked: {says}{place}"));
    }
    nq.shutdown().await.unwrap();
    second.shutdown().await.unwrap();
}
