import CLinux
import Egress
import EgressSidecar
import Logging
import NIOCore
import NetworkPolicy
import Observability
import System

#if canImport(Glibc)
    import Glibc
#endif

let command = Startup.command
switch command.work {
case .help: Exit.saying(SidecarCommand.usage)
case .version: Exit.saying("sallyport-egress \(Observability.release)\n")
case .check: Startup.check(command)
case .running: Startup.tellWhetherItRuns()
case .open: Startup.open()
case .guard: Startup.requireNamespace(command)
}
// The order matters. The namespace is closed before anything else, so that any later failure leaves it closed.
// Capabilities belong to threads, so they are dropped while there is only one. Not asynchronous, because that would
// start Swift's thread pool and end the main thread with pthread_exit, which loads a library to unwind the stack, all
// during the critical start.
linux_use_heaps(1)
_ = linux_set_dumpable(0)
let closed: ClosedNamespace
do {
    closed = try Sidecar.close()
} catch EgressError.guardedTwice {
    Exit.now(.failed, "\(EgressError.guardedTwice)")
} catch {
    Exit.now(.failed, "cannot close the namespace: \(error); the container needs CAP_NET_ADMIN")
}
guard linux_keep_capability(LINUX_CAP_NET_ADMIN) == 0, linux_set_no_new_privileges() == 0 else {
    Exit.now(.failed, "cannot drop capabilities")
}
signal(SIGPIPE, SIG_IGN)
TaskThreads.install()
// Before the sidecar reports that it guards.
EndSignals.install()

let sidecar: Sidecar
let metrics: MetricsRegistry
let exporter: OTLPConfiguration?
let traces: TraceConfiguration?
do {
    let configuration = try Startup.configuration()
    metrics = Startup.metrics(configuration)
    exporter = try OTLPConfiguration(
        environment: Startup.environment, service: "opensandbox-egress-" + Observability.release)
    traces = try TraceConfiguration(
        environment: Startup.environment, service: "opensandbox-egress-" + Observability.release)
    sidecar = try Sidecar(closed, configuration: configuration, logger: Startup.logger(configuration.logLevel))
} catch let error as EgressError {
    if case .kernel = error { Exit.now(.failed, "\(error); everything stays closed") }
    Exit.now(.configuration, "\(error); everything stays closed")
} catch {
    Exit.now(.configuration, "\(error); everything stays closed")
}
// The rules are in force.
NIOSingletons.groupLoopCountSuggestion = 1
NIOSingletons.blockingPoolThreadCountSuggestion = 2
let exports = Startup.exports(exporter, traces, metrics, of: sidecar)
let server: SidecarServer
do {
    server = try SidecarServer(sidecar, tracer: exports.tracer) { metrics.prometheusText() }
} catch {
    Exit.now(.failed, "the policy API cannot listen on \(sidecar.configuration.address): \(error)")
}
Startup.announce(sidecar)
let export = exports.start()
EndSignals.waitForNext()
Task.detached {
    await server.shutdown()
    await Exports.end(export)
    exit(0)
}
while true { pause() }
