//! Beside a web server: axum starts runs, and a browser follows a timeline as server-sent events.
//!
//! `curl -d '{"path":"cat.png"}' -H 'content-type: application/json' localhost:3000/thumbnails` answers with the
//! id of the run, and `curl -N localhost:3000/runs/ID` follows it.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::{Stream, StreamExt};

#[nq::event]
struct PictureGiven {
    path: String,
}

#[nq::worker(flow = "thumbnail")]
async fn shrink(picture: PictureGiven) -> nq::Result<String> {
    tracing::info!(path = picture.path, "shrinking");
    Ok(format!("{}.small", picture.path))
}

nq::registry!();

/// Starts a run with what came from outside: it is checked before anything is stored.
async fn start(
    State(client): State<nq::Client>,
    Json(input): Json<nq::Json>,
) -> Result<(StatusCode, String), (StatusCode, String)> {
    match client.start_json("thumbnail", input).await {
        Ok(run) => Ok((StatusCode::ACCEPTED, run.id().to_string())),
        Err(error @ nq::StartError::Invalid { .. }) => Err((StatusCode::BAD_REQUEST, error.to_string())),
        Err(error) => Err((StatusCode::SERVICE_UNAVAILABLE, error.to_string())),
    }
}

/// The timeline of a run: what is there, then what comes. It ends with the run.
async fn follow(
    State(client): State<nq::Client>,
    Path(id): Path<String>,
) -> Result<Sse<impl Stream<Item = Result<Event, axum::Error>>>, (StatusCode, String)> {
    let run = client.run(id).map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))?;
    let entries = run.timeline().map(|entry| {
        let entry = entry.map_err(axum::Error::new)?;
        // A browser that connects again says the last id that it saw: `timeline_after` goes on from there.
        Event::default().id(entry.id.n.to_string()).event(entry.kind.as_str()).json_data(&entry)
    });
    Ok(Sse::new(entries).keep_alive(KeepAlive::default()))
}

#[tokio::main]
async fn main() -> nq::Result<()> {
    let nq = nq::open("sqlite:thumbnails.db").await?.start().await?;
    // The client is cheap to clone; the instance stays here, to be shut down.
    let client: nq::Client = (*nq).clone();
    let routes =
        Router::new().route("/thumbnails", post(start)).route("/runs/{id}", get(follow)).with_state(client);
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3000".into());
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("http://{}", listener.local_addr()?);
    axum::serve(listener, routes).with_graceful_shutdown(stopped()).await?;
    nq.shutdown().await?;
    Ok(())
}

/// Returns when the process is asked to stop.
async fn stopped() {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .expect("signals can be listened to");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
