import System

/// A whole answer.
package struct ClientResponse: Hashable, Sendable {
    package var head: ResponseHead
    package var body: [UInt8]

    package init(head: ResponseHead, body: [UInt8]) {
        self.head = head
        self.body = body
    }

    package var status: Int { head.status }
    package var text: String { String(decoding: body, as: UTF8.self) }
}

/// An answer whose body is read while it arrives. The server waits for its reader.
package struct ResponseStream: Sendable {
    package let head: ResponseHead
    package let body: ResponseBody
    let maxLine: Int

    package var status: Int { head.status }

    /// The body's lines without their breaks, such as a watch's events. A last one without a break is given as well, when
    /// the answer ends as it should.
    package var lines: Lines { Lines(body: body, splitter: LineSplitter(maxLine: maxLine)) }

    /// Lines of a body. To be read by one task.
    package struct Lines: AsyncSequence, AsyncIteratorProtocol, Sendable {
        let body: ResponseBody
        var splitter: LineSplitter
        private var ready: ArraySlice<[UInt8]> = []
        private var isOver = false

        init(body: ResponseBody, splitter: LineSplitter) {
            self.body = body
            self.splitter = splitter
        }

        package func makeAsyncIterator() -> Lines { self }

        /// - Throws: `HTTPClientError`; `tooLarge(.line)` for a line that is longer than the peer's limit.
        package mutating func next() async throws(HTTPClientError) -> [UInt8]? {
            while true {
                if let line = ready.popFirst() { return line }
                if isOver { return nil }
                guard let chunk = try await body.next() else {
                    isOver = true
                    let rest = splitter.takeRest()
                    return rest.isEmpty ? nil : rest
                }
                do { ready = try splitter.take(chunk)[...] } catch { throw .tooLarge(.line) }
            }
        }
    }
}

/// The body of an answer, chunk by chunk. To be read by one task. The transfer ends with it.
package final class ResponseBody: Sendable {
    private let transfer: Transfer
    private let loop: TransferLoop
    /// Kept, since its thread ends with it.
    private let client: HTTPClient

    init(_ transfer: Transfer, loop: TransferLoop, client: HTTPClient) {
        self.transfer = transfer
        self.loop = loop
        self.client = client
    }

    deinit { cancel() }

    /// Ends the transfer; who waits for a part is told so.
    package func cancel() { loop.send(.cancel(transfer)) }

    /// - Returns: nil at the end.
    package func next() async throws(HTTPClientError) -> [UInt8]? {
        let (loop, transfer) = (loop, transfer)
        return try await withTaskCancellationHandler {
            await transfer.next { loop.send(.resume(transfer)) }
        } onCancel: {
            loop.send(.cancel(transfer))
        }.get()
    }

    /// Sends the request's body part by part. Ends with the transfer.
    func upload(_ next: @escaping @Sendable () async throws -> [UInt8]?) {
        let (loop, transfer) = (loop, transfer)
        let task = Task {
            var isWhole = true
            do {
                while let chunk = try await next() {
                    guard await transfer.offer(chunk, resume: { loop.send(.resume(transfer)) }) else { return }
                }
            } catch {
                isWhole = false
            }
            if transfer.endUpload(isWhole: isWhole) { loop.send(.resume(transfer)) }
        }
        transfer.whenFinished { task.cancel() }
    }
}
