/// What each metric is, in the words of its help text, and in which unit.
///
/// A metric has two names. Collectors of OpenTelemetry get the reference's, where it has the same metric:
/// `egress.nftables.updates.count`. Prometheus gets it by its own conventions: counters end in `_total`, units are base units and
/// stand in the name, and nothing but a histogram ends in `_count`: `egress_nftables_updates_total`.
enum MetricCatalog {
    struct Entry: Sendable {
        var help: String
        /// A base unit as Prometheus writes it; nil where things are counted.
        var unit: String?

        init(_ help: String, unit: String? = nil) { (self.help, self.unit) = (help, unit) }
    }

    /// By the names in the program. Every metric of every program is here (Tests/Scripts/test_monitoring.py).
    static let entries: [String: Entry] = [
        "server.http.request.duration": Entry(
            "How long requests to the lifecycle API took until they were answered.", unit: "seconds"),
        "sallyport_client_create_seconds": Entry("How long creates took, as clients measured it.", unit: "seconds"),
        "sallyport_create_step_seconds": Entry("How long the steps of a create took.", unit: "seconds"),
        "sallyport_creates": Entry("Creates that are at work, and that wait for those."),
        "sallyport_http_refusals_total": Entry(
            "Requests to the lifecycle API that were answered with an error, by its code and the route."),
        "sallyport_leftovers": Entry("Things of deleted sandboxes that could not be removed yet."),
        "sallyport_part_restarts_total": Entry("How often a process of the server was started again."),
        "sallyport_part_up": Entry("Whether a process of the server serves."),
        "sallyport_pool_removals_failing": Entry("Sandboxes of pools that could not be removed yet."),
        "sallyport_pool_sandboxes": Entry("Sandboxes of pools, by what they do."),
        "sallyport_sandboxes": Entry("Sandboxes, by their state."),

        "egress.policy.denied_total": Entry("Names that a policy denied."),
        "egress.dns.query.duration": Entry("How long allowed queries waited for upstreams.", unit: "seconds"),
        "egress.dns.query.failed_total": Entry("Allowed queries that got no answer, by the reason."),
        "egress.nftables.rules.count": Entry("Rules of a sandbox in the kernel."),
        "egress.nftables.updates.count": Entry("Changes of rules in the kernel."),
        "egress.nftables.updates.failed_total": Entry("Changes of rules that the kernel refused."),
        "egress.process.cpu.time": Entry("Processor time of the guard's control group.", unit: "seconds"),
        "egress.process.memory.usage_bytes": Entry("Memory of the guard's control group.", unit: "bytes"),
        "egress.system.cpu.utilization": Entry("Part of the machine's processors in use.", unit: "ratio"),
        "egress.system.memory.usage_bytes": Entry("Memory of the machine in use.", unit: "bytes"),
        "sallyport_egress_addresses_removed_total": Entry("Addresses that a policy took out of answers."),
        "sallyport_egress_answers_withheld_total": Entry("Answers whose addresses could not be opened."),
        "sallyport_egress_budget_refusals_total": Entry("Refusals because a budget was used up."),
        "sallyport_egress_events_lost_total": Entry("Decisions that an outlet did not get."),
        "sallyport_egress_flows_checked_total": Entry("Connections whose stated name was looked at."),
        "sallyport_egress_flows_cut_total": Entry("Connections that a change of policy ended."),
        "sallyport_egress_flows_refused_total": Entry("Connections that stated another name than they may."),
        "sallyport_egress_lists_stale": Entry("1 while a mistake keeps earlier lists in force, else 0."),
        "sallyport_egress_packets_refused_total": Entry("Packets that the kernel refused, by why."),
        "sallyport_egress_policy_changes_total": Entry("Changes of policies."),
        "sallyport_egress_rules_restored_total": Entry("How often rules were put back that another program changed."),
        "sallyport_egress_sandbox_budget_refusals_total": Entry("Refusals of a sandbox by a used-up budget."),
        "sallyport_egress_sandbox_denied_total": Entry("Names that a sandbox was denied."),

        "sallyport_ingress_connections_total": Entry("Connections of clients, by their protocol."),
        "sallyport_ingress_failed_attempts_total": Entry("Wrong credentials and signatures, by their kind."),
        "sallyport_ingress_http2_connection_errors_total": Entry("Connections that broke the rules of HTTP/2."),
        "sallyport_ingress_http2_open_connections": Entry("Open connections of HTTP/2."),
        "sallyport_ingress_http2_open_streams": Entry("Open streams of HTTP/2."),
        "sallyport_ingress_http2_streams_total": Entry("Streams of HTTP/2."),
        "sallyport_ingress_limited_requests_total": Entry("Requests beyond a rate."),
        "sallyport_ingress_refusals_total": Entry(
            "Requests that were answered in a sandbox's place, by the code and the kind of the route."),
        "sallyport_ingress_request_bytes_total": Entry("Bytes of requests' bodies and of tunnels, from clients."),
        "sallyport_ingress_request_duration_seconds": Entry(
            "How long requests to sandboxes took until their answers were sent, or tunnels ended.", unit: "seconds"),
        "sallyport_ingress_renew_intents_dropped_total": Entry("Uses of sandboxes that could not be reported."),
        "sallyport_ingress_renew_intents_total": Entry("Uses of sandboxes that were reported."),
        "sallyport_ingress_response_bytes_total": Entry("Bytes of answers' bodies and of tunnels, to clients."),
        "sallyport_ingress_throttled_attempts_total": Entry(
            "Attempts that were not looked at, after too many wrong ones."),
        "sallyport_ingress_tls_handshake_failures_total": Entry("TLS handshakes that failed."),

        "sallyport_otlp_failures_total": Entry("Exports of metrics that a collector did not take."),
        "sallyport_otlp_spans_dropped_total": Entry("Spans that did not reach a collector."),
        "sallyport_otlp_spans_waiting": Entry("Spans that wait for their export."),
    ]
}
