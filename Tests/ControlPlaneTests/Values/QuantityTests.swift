import Testing

@testable import ControlPlane

@Suite struct QuantityTests {
    @Test(arguments: [
        ("500m", 500), ("1", 1000), ("1.5", 1500), ("0.0001", 1), ("2", 2000), ("0", nil), ("", nil), ("m", nil),
        ("-1", nil), ("1e3", nil), ("1 ", nil), ("inf", nil), ("nan", nil), ("0x10", nil), ("1..5", nil),
        ("9999999", nil),
        ("١", nil),
    ]) func `CPU quantities`(_ text: String, _ millis: Int?) {
        #expect(ResourceQuantity.cpuMillis(text) == millis)
    }

    @Test(arguments: [
        ("512Mi", 536_870_912), ("1G", 1_000_000_000), ("1Gi", 1 << 30), ("1048576", 1_048_576), ("1.5Ki", 1536),
        ("1k", 1000), ("", nil), ("Mi", nil), ("1MiB", nil), ("1mi", nil), ("-5", nil), ("1e9", nil),
        ("99999999Ti", nil),
    ]) func `memory quantities`(_ text: String, _ bytes: Int64?) {
        #expect(ResourceQuantity.bytes(text) == bytes)
    }
}
