import Testing

@testable import Ingress

@Suite struct HTTP2PortsTests {
    @Test func `a port is known as long as one of its connections is open, and of its sandbox alone`() {
        let ports = HTTP2Ports()
        let one = Backend(address: .tcp(host: "10.0.0.1", port: 80), incarnation: "a")
        let later = Backend(address: .tcp(host: "10.0.0.1", port: 80), incarnation: "b")
        let other = Backend(address: .tcp(host: "10.0.0.1", port: 81), incarnation: "a")
        #expect(!ports.contains(one))
        ports.opened(one)
        ports.opened(one)
        #expect(ports.contains(one) && !ports.contains(later) && !ports.contains(other))
        ports.closed(one)
        #expect(ports.contains(one))
        ports.closed(one)
        ports.closed(one)
        #expect(!ports.contains(one))
    }
}
