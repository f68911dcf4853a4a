//! How the workers of a group find each other's transactions: by names.
//!
//! A worker has one name in all its lives. The client id of its member of the group ends in it, and so does its transactional
//! id. So whoever describes the group and lists the open transactions knows which transactions nobody will end.

/// Digits of a worker's name.
const DIGITS: usize = 16;

/// Whether this is the name of a worker.
fn is_name(name: &str) -> bool {
    name.len() == DIGITS && name.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// The client id of the member that is a worker's.
pub(crate) fn client_id(client: &str, worker: &str) -> String {
    format!("{client}-{worker}")
}

/// The worker whose member has this client id.
pub(crate) fn of_client_id(client: &str) -> Option<&str> {
    client.rsplit_once('-').map(|(_, worker)| worker).filter(|worker| is_name(worker))
}

/// What the transactional ids of all workers of a group begin with. The name of a pipeline has no slash, so another group's or
/// pipeline's is never taken for it.
pub(crate) fn transactions_of(pipeline: &str, group: &str) -> String {
    format!("acme-{pipeline}/{group}/")
}

/// The worker that has this transactional id, if it is one of those that begin so.
pub(crate) fn of_transaction<'a>(id: &'a str, begin: &str) -> Option<&'a str> {
    id.strip_prefix(begin).filter(|worker| is_name(worker))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_found_by_its_client_id_and_by_its_transaction() {
        let (worker, begin) = ("0123456789abcdef", transactions_of("p", "g"));
        assert_eq!(of_client_id(&client_id("acme-p-in", worker)), Some(worker));
        assert_eq!(of_transaction(&format!("{begin}{worker}"), &begin), Some(worker));
        for other in ["acme-p-in", "rdkafka", "x-0123456789ABCDEF", "x-0123456789abcdef0", "0123456789abcdef"]
        {
            assert_eq!(of_client_id(other), None, "{other}");
        }
        for (pipeline, group) in [("p", "g2"), ("p", "g/g"), ("p2", "g")] {
            let id = format!("{}{worker}", transactions_of(pipeline, group));
            assert_eq!(of_transaction(&id, &begin), None, "{id}");
        }
        assert_eq!(of_transaction(&begin, &begin), None);
    }
}
