import Testing

@testable import Egress
@testable import EgressSidecar

@Suite struct ConnectionShareTests {
    @Test func `a sandbox has a sixteenth of the machine's table, within bounds`() {
        #expect(ConnectionShare.connections(ofTable: 65_536) == 4096)
        #expect(ConnectionShare.connections(ofTable: 1024) == 256)
        #expect(ConnectionShare.connections(ofTable: 0) == 256 && ConnectionShare.connections(ofTable: -5) == 256)
        #expect(ConnectionShare.connections(ofTable: .max) == 8192)
        #expect((256...8192).contains(ConnectionShare.standard))
    }

    @Test func `a sidecar takes the share unless a number is set, 0 for no limit`() throws {
        #expect(try SidecarConfiguration(environment: [:]).sharesConnections)
        for text in ["0", "7"] {
            let set = try SidecarConfiguration(environment: ["OPENSANDBOX_EGRESS_BUDGET_CONNECTIONS": text])
            #expect(!set.sharesConnections && set.budgets.connections == Int(text))
        }
    }
}
