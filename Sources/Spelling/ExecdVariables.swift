/// Variables that execd itself reads at its start. A sandbox that was made ahead of its use has them from its pool, and is too old for
/// those of a request.
package enum ExecdVariables {
    /// The sandbox's id, by which programs know where they are. Only who makes the sandbox says it.
    package static let identity: ExactName = "OPENSANDBOX_ID"

    /// Those that name what execd runs before the sandbox's program.
    package static let ofHooks: Set<ExactName> = [
        "EXECD_BOOTSTRAP_PRE_SCRIPT", "EXECD_LIFECYCLE_CONFIG", "OPENSANDBOX_LIFECYCLE",
    ]

    /// Those of what execd exports (OpenTelemetry's). Programs have them, too.
    package static let ofTelemetry: Set<ExactName> = [
        "OPENSANDBOX_EXECD_METRICS_EXTRA_ATTRS", "OTEL_BSP_SCHEDULE_DELAY", "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
        "OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_METRICS_EXPORTER",
        "OTEL_METRIC_EXPORT_INTERVAL", "OTEL_SDK_DISABLED", "OTEL_SERVICE_NAME", "OTEL_TRACES_EXPORTER",
        "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG",
    ]

    package static let readAtStart: Set<ExactName> = ofTelemetry.union([
        "BOOTSTRAP_CMD", "BOOTSTRAP_SHELL", "EXECD", "EXECD_ACCESS_TOKEN", "EXECD_API_GRACE_SHUTDOWN",
        "EXECD_BOOTSTRAP_PRE_SCRIPT", "EXECD_CLONE3_COMPAT", "EXECD_CONTEXT_IDLE_TIMEOUT", "EXECD_ENVS", "EXECD_INIT",
        "EXECD_ISOLATION_CONFIG", "EXECD_JUPYTER_IDLE_POLL_INTERVAL", "EXECD_LIFECYCLE_CONFIG", "EXECD_LOG_FILE",
        "EXECD_OPERATION_CAPACITY", "EXECD_RUNTIME_INIT", "HOME", "JUPYTER_HOST", "JUPYTER_TOKEN",
        "OPENSANDBOX_LIFECYCLE",
    ])
}
