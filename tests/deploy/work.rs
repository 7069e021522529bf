//! What both versions of the deployed program do.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nq::Nq;

/// An instance on the store and with the folder of the command line.
pub(crate) async fn open() -> nq::Result<Nq> {
    tracing_subscriber::fmt().with_ansi(false).with_writer(std::io::stderr).init();
    let mut args = std::env::args().skip(1);
    let (url, folder) = (args.next().unwrap_or_default(), args.next().unwrap_or_default());
    // Short, so that a test sees it run out.
    let lease = Duration::from_millis(900);
    Ok(nq::open(&url).await?.data(PathBuf::from(folder)).lease(lease).grace(lease).start().await?)
}

/// Works until Ctrl-C.
pub(crate) async fn until_interrupted(nq: Nq) -> nq::Result<()> {
    tokio::signal::ctrl_c().await?;
    nq.shutdown().await?;
    Ok(())
}

/// Returns when this file exists.
#[allow(dead_code, reason = "the second version holds nothing")]
pub(crate) async fn until_there(path: &Path) {
    while !path.exists() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
