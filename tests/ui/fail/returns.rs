//! What a worker cannot return.

#[nq::event]
struct OrderPlaced {}

struct NoJson;

struct NoError;

#[nq::worker(flow = "order")]
async fn number(_order: OrderPlaced) -> u32 {
    1
}

#[nq::worker(flow = "order")]
async fn no_json(_order: OrderPlaced) -> nq::Result<NoJson> {
    Ok(NoJson)
}

#[nq::worker(flow = "order")]
async fn no_error(_order: OrderPlaced) -> Result<(), NoError> {
    Err(NoError)
}

nq::registry!();

fn main() {}
