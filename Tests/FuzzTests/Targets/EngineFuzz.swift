@testable import Runtimes

/// What a container engine answers, and streams.
enum EngineFuzz {
    static func engine(_ bytes: UnsafeRawBufferPointer) {
        let body = Array(bytes)
        let _: ContainerFacts? = read(body)
        let _: [ListedContainer]? = read(body)
        let _: EngineImage? = read(body)
        let _: [ListedImage]? = read(body)
        let _: VolumeList? = read(body)
        if let storage: EngineStorage = read(body) {
            promise((storage.obstacle ?? "").unicodeScalars.count < 500, "a driver's words without a bound")
        }
        if let info: EngineInfo = read(body) { promise(info.platform.contains("/"), "a platform without a part") }
        let failure = EngineFailure(status: 500, body: body)
        promise(failure.description.unicodeScalars.count <= maxWords, "an engine's words without a bound")
        promise(
            !failure.description.unicodeScalars.contains { $0.value < 0x20 }, "an engine's words over several lines")
        if let event = try? EngineEvent.read(body) {
            promise(event.action != .died || body.count > 20, "an event out of nothing")
        }
        if let words = (try? PullProgress.failure(in: body)) ?? nil {
            promise(words.unicodeScalars.count <= maxWords, "a registry's words without a bound")
            _ = PullProgress.error(words, for: image, platform: "linux/amd64")
        }
        frames(body)
        _ = ContainerProcess.isOf(String(repeating: "a", count: 64), groups: String(decoding: body, as: UTF8.self))
        _ = try? EngineAddress(String(decoding: body, as: UTF8.self))
    }

    /// 500 characters, each of which may be escaped, and the dots.
    private static let maxWords = 500 * 10 + 1
    private static let image = try! ImageReference("registry.example/image:1")

    private static func read<Value: Decodable>(_ body: [UInt8]) -> Value? { try? EngineClient.read(body) }

    private static func frames(_ body: [UInt8]) {
        var whole = LogFrames(), cut = LogFrames()
        let text = whole.take(body)
        var pieces: [UInt8] = []
        for byte in body { pieces += cut.take([byte]) }
        promise(text == pieces && whole.isBroken == cut.isBroken, "output is another one when it comes in pieces")
        promise(text.count <= body.count, "more output than came")
    }
}
