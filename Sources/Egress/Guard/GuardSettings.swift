import Addresses
import CLinux
import FlowCheck
import Glibc
import NetworkPolicy
import System

/// Settings that all guards of a node share.
package struct GuardSettings: Sendable {
    var filter: AnswerFilter
    var alwaysDeny: [CIDRBlock]
    var maxRules: Int
    var maxLearnedAddresses: Int
    var minimumLifetime: UInt32
    var lifetimeGrace: UInt32
    var budgets: EgressBudgets
    /// The operator's rules for every sandbox.
    var operatorRules: [Rule]
    /// Receive every decision of every sandbox.
    var outlets: [any EventOutlet]
    /// `nil` if flows are not checked (mode `dns+nft`).
    var flowCheck: FlowCheckSettings?
    let uncheckedPorts: PortMap<Bool>
    /// Whether the kernel closes addresses: not where names alone are filtered.
    package var judgesAddresses = true
    /// Nil where the guard has a namespace of its own.
    package var reserved: ReservedTraffic?
    /// Events kept for each sandbox; about 50 KiB if all have long names.
    var eventsKept = 256
    /// Whole seconds of a monotonic clock.
    var now: @Sendable () -> UInt64
    /// Milliseconds of a clock that never goes back.
    var ticks: @Sendable () -> UInt64 = SystemClock.bootMilliseconds
    /// Milliseconds since 1970, for what people read.
    var time: @Sendable () -> UInt64 = SystemClock.wallMilliseconds

    package init(_ configuration: EgressConfiguration, now: @escaping @Sendable () -> UInt64 = SystemClock.bootSeconds)
    {
        filter = AnswerFilter(
            internalZones: configuration.internalZones, internalRanges: configuration.internalRanges)
        alwaysDeny = configuration.alwaysDeny
        maxRules = configuration.maxRules
        budgets = configuration.budgets
        operatorRules = configuration.resolverBlock.rules
        let outlets: [(any EventOutlet)?] = [configuration.auditLog, configuration.denyWebhook]
        self.outlets = outlets.compactMap { $0 }
        maxLearnedAddresses = configuration.maxLearnedAddresses
        minimumLifetime = configuration.minimumLifetime
        lifetimeGrace = configuration.lifetimeGrace
        flowCheck = configuration.flowCheck
        uncheckedPorts = PortMap(true, ports: (configuration.flowCheck?.uncheckedPorts ?? []).map { $0...$0 })
        self.now = now
    }

    /// Seconds for which an address is open that a record of this time to live has taught. No longer than a day,
    /// whatever the record says: the kernel's memory of it must end.
    func lifetime(of timeToLive: UInt32) -> UInt64 {
        UInt64(min(max(timeToLive, minimumLifetime), 86_400)) + UInt64(lifetimeGrace)
    }
}
