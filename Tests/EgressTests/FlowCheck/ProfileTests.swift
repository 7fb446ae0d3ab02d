import NetworkPolicy
import Testing

@testable import Egress

@Suite struct ProfileTests {
    private let closed = TrafficMap<Action>(.deny)

    private func ports(_ ranges: ClosedRange<UInt16>...) -> PortMap<Action> { PortMap(.allow, ports: ranges) }

    @Test func `what names alone open is checked for TCP and closed for UDP`() {
        let named = TrafficMap<Action>(tcp: ports(443...443, 8000...8100), udp: ports(443...443), icmp: .allow)
        let profile = Profile(checking: named, alone: closed, uncheckedPorts: PortMap(nil))
        for port: UInt16 in [443, 8000, 8100] {
            #expect(profile.actions.tcp[port] == .deny && profile.checked[port] == true, "\(port)")
        }
        #expect(profile.actions.tcp[80] == nil && profile.checked[80] == nil)
        #expect(profile.actions.udp[443] == .deny && profile.actions.icmp == .allow)
    }

    @Test func `unchecked ports, and what addresses open anyway, are left alone`() {
        let named = TrafficMap<Action>(tcp: PortMap(.allow), udp: PortMap(.allow))
        let alone = TrafficMap<Action>(tcp: ports(1...1023), udp: PortMap(.deny))
        let profile = Profile(
            checking: named, alone: alone, uncheckedPorts: PortMap(true, ports: [22...22, 3478...3478]))
        #expect(profile.actions.tcp[443] == nil && profile.checked[443] == nil, "the address rule decides")
        #expect(profile.actions.tcp[3478] == .allow && profile.actions.udp[3478] == .allow)
        #expect(profile.checked[3478] == nil && profile.checked[8443] == true)
        #expect(profile.actions.udp[443] == .deny)
    }

    @Test func `a denial stays a denial`() {
        let profile = Profile(
            checking: TrafficMap(.deny), alone: TrafficMap(.allow), uncheckedPorts: PortMap(true, ports: [22...22]))
        #expect(profile == Profile(TrafficMap(.deny)))
    }

    @Test func `equal decisions with and without a check are told apart`() {
        var table = ProfileTable()
        let plain = table.number(of: Profile(closed))
        let named = TrafficMap<Action>(.allow)
        let checked = table.number(of: Profile(checking: named, alone: closed, uncheckedPorts: PortMap(nil)))
        #expect(plain != checked)
        #expect(table.number(of: closed) == plain)
    }
}
