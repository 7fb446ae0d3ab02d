/// What became of a request that was sent until it was taken.
package enum Delivery: Hashable, Sendable {
    case done
    /// Why it was given up.
    case failed(String)
    /// The task was cancelled between two attempts.
    case cancelled
}

extension HTTPClient {
    /// Sends a request until the server takes it, as often as the policy says. An attempt that has begun is not cut short
    /// when the task is cancelled: its deadlines end it.
    package func deliver(_ request: ClientRequest, to peer: HTTPPeer, _ retries: RetryPolicy) async -> Delivery {
        var retries = retries
        while true {
            let attempt = Task { () async -> Result<ResponseHead, HTTPClientError> in
                do throws(HTTPClientError) {
                    return .success(try await self.send(request, to: peer).head)
                } catch {
                    return .failure(error)
                }
            }
            let outcome = await attempt.value
            switch retries.step(try? outcome.get()) {
            case .done: return .done
            case .giveUp:
                switch outcome {
                case .success(let head): return .failed("status \(head.status)")
                case .failure(let error): return .failed("\(error)")
                }
            case .retry(let milliseconds):
                guard !Task.isCancelled else { return .cancelled }
                try? await Task.sleep(for: .milliseconds(milliseconds))
                guard !Task.isCancelled else { return .cancelled }
            }
        }
    }
}
