import Addresses
import NetworkPolicy
import Testing

@testable import Runtimes

@Suite struct HostNetworksTests {
    private let routes = """
        Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
        eth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
        eth0\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
        tun0\t0000C80A\t00000000\t0001\t0\t0\t0\t0000F0FF\t0\t0\t0
        """
    private let routesV6 = """
        fd5a1179000000000000000000000000 30 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0
        00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003     eth0
        """

    @Test(arguments: [
        ("10.200.0.0/16", "10.192.0.0/12 (tun0)"), ("10.0.0.0/8", "10.192.0.0/12 (tun0)"),
        ("192.168.1.128/28", "192.168.1.0/24 (eth0)"), ("192.168.0.0/24", nil), ("10.128.0.0/16", nil),
        ("fd5a:1179::/64", "fd5a:1179::/48 (eth0)"), ("fd5a::/32", nil), ("fd00::/8", "fd5a:1179::/48 (eth0)"),
    ]) func `a pool must not overlap a route, but the default one is in nobody's way`(_ pool: String, _ with: String?)
        throws
    {
        var networks = HostNetworks()
        networks.addRoutes(routes)
        networks.addRoutesV6(routesV6)
        #expect(networks.networks.count == 3)
        #expect(networks.overlap(with: try #require(CIDRBlock(pool)))?.description == with)
    }

    @Test(arguments: ["", "x", "a b c d e f g h", "\n\n", "eth0\tZZ\t0\t0\t0\t0\t0\tFF\n", "00 40 1 2 3 4 5 6 7 8"])
    func `what the kernel never writes is passed over`(_ text: String) {
        var networks = HostNetworks()
        networks.addRoutes("head\n" + text)
        networks.addRoutesV6(text)
        #expect(networks.networks.isEmpty)
    }

    @Test func `the addresses of this machine's interfaces are among them`() {
        let networks = HostNetworks.current(tag: "sp")
        #expect(networks.overlap(with: CIDRBlock("127.0.0.0/8")!)?.interface == "lo")
        #expect(networks.overlap(with: CIDRBlock("203.0.113.0/24")!) == nil)
    }
}
