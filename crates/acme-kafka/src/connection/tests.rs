use super::*;
use kafka_protocol::messages::ListGroupsRequest;
use tokio::io::duplex;

fn config() -> Config {
    let mut config = Config::new(["b:1"]);
    config.in_flight_max = 4;
    config.response_bytes_max = 1_000;
    config
}

/// A connection whose other end the test holds.
fn pair(config: &Config) -> (Connection, tokio::io::DuplexStream) {
    let (ours, theirs) = duplex(1 << 16);
    let (reading, writing) = tokio::io::split(ours);
    (Connection::start(reading, writing, "b:1".to_owned(), config), theirs)
}

async fn request(broker: &mut tokio::io::DuplexStream) -> i32 {
    let length = broker.read_i32().await.unwrap();
    let mut bytes = vec![0; usize::try_from(length).unwrap()];
    broker.read_exact(&mut bytes).await.unwrap();
    i32::from_be_bytes(bytes[4..8].try_into().unwrap())
}

/// An empty answer to ListGroups 3.
async fn answer(broker: &mut tokio::io::DuplexStream, correlation: i32) {
    broker.write_i32(13).await.unwrap();
    broker.write_i32(correlation).await.unwrap();
    // No tags; no throttling; no error; no groups; no tags.
    broker.write_all(&[0, 0, 0, 0, 0, 0, 0, 1, 0]).await.unwrap();
}

fn send(connection: &Arc<Connection>, timeout: Duration) -> tokio::task::JoinHandle<Result<()>> {
    let connection = connection.clone();
    tokio::spawn(async move { connection.send_at(&ListGroupsRequest::default(), 3, timeout).await.map(drop) })
}

const LONG: Duration = Duration::from_secs(10);

#[tokio::test]
async fn requests_are_pipelined_and_answered_in_order() {
    let (connection, mut broker) = pair(&config());
    let connection = Arc::new(connection);
    let sent: Vec<_> = (0..4).map(|_| send(&connection, LONG)).collect();
    let mut correlations = Vec::new();
    for _ in 0..4 {
        correlations.push(request(&mut broker).await);
    }
    assert_eq!(correlations, [0, 1, 2, 3]);
    for correlation in correlations {
        answer(&mut broker, correlation).await;
    }
    for handle in sent {
        handle.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn no_more_requests_than_allowed_are_in_flight() {
    let (connection, mut broker) = pair(&config());
    let connection = Arc::new(connection);
    let sent: Vec<_> = (0..5).map(|_| send(&connection, LONG)).collect();
    for expected in 0..4 {
        assert_eq!(request(&mut broker).await, expected);
    }
    let fifth = tokio::time::timeout(Duration::from_millis(50), request(&mut broker));
    assert!(fifth.await.is_err(), "a fifth request was sent");
    for correlation in 0..4 {
        answer(&mut broker, correlation).await;
    }
    assert_eq!(request(&mut broker).await, 4);
    answer(&mut broker, 4).await;
    for handle in sent {
        handle.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn an_answer_to_another_request_ends_the_connection_for_all() {
    let (connection, mut broker) = pair(&config());
    let connection = Arc::new(connection);
    let sent: Vec<_> = (0..2).map(|_| send(&connection, LONG)).collect();
    request(&mut broker).await;
    answer(&mut broker, 7).await;
    for handle in sent {
        let error = handle.await.unwrap().unwrap_err();
        assert!(error.to_string().contains("correlation id Some(7)"), "{error}");
    }
    assert!(connection.is_closed());
}

#[tokio::test]
async fn a_response_of_an_impossible_length_is_refused() {
    for length in [i32::MAX, 1_001, 3, -1] {
        let (connection, mut broker) = pair(&config());
        let connection = Arc::new(connection);
        let sent = send(&connection, LONG);
        request(&mut broker).await;
        broker.write_i32(length).await.unwrap();
        let error = sent.await.unwrap().unwrap_err();
        assert!(error.to_string().contains(&format!("length {length}")), "{error}");
    }
}

#[tokio::test]
async fn a_broker_that_does_not_answer_is_given_up() {
    let (connection, mut broker) = pair(&config());
    let connection = Arc::new(connection);
    let first = send(&connection, Duration::from_millis(20));
    request(&mut broker).await;
    let error = first.await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "ListGroups to b:1 got no answer within 20 ms");
    assert_eq!(error.class(), crate::Class::Refresh);
    // Nobody waits on a connection whose answers can no longer be told apart.
    let error = send(&connection, LONG).await.unwrap().unwrap_err();
    assert!(error.to_string().contains("got no answer"), "{error}");
}

#[tokio::test]
async fn a_closed_connection_fails_whoever_waits_and_whoever_comes() {
    let (connection, mut broker) = pair(&config());
    let connection = Arc::new(connection);
    let sent = send(&connection, LONG);
    request(&mut broker).await;
    drop(broker);
    let error = sent.await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "connection to b:1: the broker closed it");
    assert!(send(&connection, LONG).await.unwrap().is_err());
}

#[tokio::test]
async fn giving_up_on_an_answer_leaves_the_next_one_in_place() {
    let (connection, mut broker) = pair(&config());
    let connection = Arc::new(connection);
    let first = send(&connection, LONG);
    let one = request(&mut broker).await;
    first.abort();
    assert!(first.await.is_err());
    let second = send(&connection, LONG);
    let two = request(&mut broker).await;
    answer(&mut broker, one).await;
    answer(&mut broker, two).await;
    second.await.unwrap().unwrap();
}
