import NIOCore
import Testing

@testable import Execd

@Suite struct OutputBufferTests {
    @Test func `memory for much output is used again, and let go of`() {
        let buffers = OutputBuffers()
        var first = buffers.take(200_000)
        first.writeString("first")
        let place = first.withUnsafeReadableBytes { $0.baseAddress }
        buffers.give(first)
        first = ByteBuffer()
        var again = buffers.take(150_000)
        #expect(again.readableBytes == 0 && again.storageCapacity >= 200_000)
        again.writeString("again")
        #expect(again.withUnsafeReadableBytes { $0.baseAddress } == place)
        #expect(buffers.isUsed)
        buffers.letGo()
        // Nobody would let go of it any more.
        buffers.give(again)
        #expect(!buffers.isUsed)
    }

    @Test func `what others still hold stays as it is`() {
        let buffers = OutputBuffers()
        var held = buffers.take(200_000)
        held.writeString("held")
        buffers.give(held)
        var next = buffers.take(200_000)
        next.writeString("next")
        #expect(String(buffer: held) == "held" && String(buffer: next) == "next")
    }

    @Test func `small and very large parts are not kept`() {
        let buffers = OutputBuffers()
        for size in [10, 8 << 20] { buffers.give(buffers.take(size)) }
        #expect(!buffers.isUsed)
    }
}
