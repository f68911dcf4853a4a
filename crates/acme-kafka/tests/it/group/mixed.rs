//! Members of ours in one group with Kafka's own consumer and with librdkafka's.
