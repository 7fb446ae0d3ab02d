import NIOCore
import NIOHTTP2

/// Limits of one HTTP/2 connection (RFC 9113, section 10.5). A peer that exceeds one gets GOAWAY and is disconnected.
package struct HTTP2Limits: Sendable {
    /// Concurrent streams.
    package var maxStreams = 100
    /// Bytes of a stream's body that a client may send before the sandbox has accepted them.
    package var streamWindow = 128 << 10
    /// Bytes under way in all streams together. This window reopens as bytes arrive; clients are held back by the
    /// stream's window.
    package var connectionWindow = 1 << 20
    /// Streams that a client may reset in `window` (CVE-2023-44487).
    package var maxResets = 200
    /// Malformed requests in `window`.
    package var maxStreamErrors = 100
    /// PING, SETTINGS and PRIORITY frames in `window`, beside one for each DATA frame that the client was sent.
    package var maxControlFrames = 600
    /// WINDOW_UPDATE frames in `window`, beside ten for each DATA frame that the client was sent and each stream it opened.
    package var maxWindowUpdates = 600
    /// Frames of unknown types in `window`, and GOAWAY, beside ten for each stream opened.
    package var maxUnknownFrames = 600
    /// Heads that a sandbox sends in `window`, beside ten for each request that it was sent.
    package var maxInterimHeads = 100
    package var window = TimeAmount.seconds(30)
    /// CONTINUATION frames of one block (CVE-2024-27983 and similar).
    package var maxContinuations = 5
    /// Consecutive empty DATA frames.
    package var maxEmptyFrames = 10
    /// Answers to control frames that wait for the client to read.
    package var maxBufferedFrames = 1000

    package init() {}

    /// - Parameter headBytes: the largest head that is answered. A head of more than twice that ends the connection,
    ///   since compressed bytes cannot be skipped.
    func configuration(headBytes: Int) -> NIOHTTP2Handler.Configuration {
        var connection = NIOHTTP2Handler.ConnectionConfiguration()
        connection.initialSettings = [
            HTTP2Setting(parameter: .maxConcurrentStreams, value: maxStreams),
            HTTP2Setting(parameter: .maxHeaderListSize, value: 2 * headBytes),
            HTTP2Setting(parameter: .initialWindowSize, value: streamWindow),
            HTTP2Setting(parameter: .enableConnectProtocol, value: 1),
        ]
        connection.targetWindowSize = connectionWindow
        connection.maximumSequentialContinuationFrames = maxContinuations
        connection.maximumSequentialEmptyDataFrames = maxEmptyFrames
        connection.maximumBufferedControlFrames = maxBufferedFrames
        // `FrameBudget` enforces the real limit.
        connection.controlFrameRateLimit.maximumCount = 100 * maxControlFrames
        connection.controlFrameRateLimit.windowLength = window
        var stream = NIOHTTP2Handler.StreamConfiguration()
        stream.targetWindowSize = streamWindow
        stream.outboundBufferSizeHighWatermark = 64 << 10
        stream.outboundBufferSizeLowWatermark = 32 << 10
        stream.streamResetFrameRateLimit.maximumCount = maxResets
        stream.streamResetFrameRateLimit.windowLength = window
        stream.streamErrorRateLimit.maximumCount = maxStreamErrors
        stream.streamErrorRateLimit.windowLength = window
        return NIOHTTP2Handler.Configuration(connection: connection, stream: stream)
    }
}
