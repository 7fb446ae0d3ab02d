import Logging
import NIOHTTP1
import Runtimes

/// The images that sandboxes are made of (docs/images.md#images-of-a-running-server). A pull takes a place among the creates, whose work
/// it is, and goes on when its client has been answered or is gone.
extension SandboxService {
    /// - Returns: nil where it goes on: who asks again waits for the same one.
    func pull(_ request: PullRequest, owner: String?) async throws(APIError) -> KeptImage? {
        let wanted = ImagePulls.Wanted(owner: owner, image: request.image, credentials: request.credentials)
        let (outcomes, outcome) = AsyncStream<ImagePulls.Outcome?>.makeStream()
        let number = try pulls.join(wanted, outcome) {
            let place = "image-" + Sandbox.identifier()
            guard queue.enter(place, of: owner) else { return false }
            Task {
                let result = await pulled(request, place, owner)
                queue.leave(place)
                pulls.end(wanted, result)
            }
            return true
        }
        defer { pulls.leave(wanted, number) }
        let clock = Task {
            try await Task.sleep(for: patience)
            outcome.yield(nil)
        }
        defer { clock.cancel() }
        for await first in outcomes { return try first?.get() }
        return nil
    }

    private func pulled(
        _ request: PullRequest, _ place: String, _ owner: String?
    ) async -> ImagePulls.Outcome {
        _ = await queue.turn(place)
        do throws(RuntimeError) {
            let image = try await runtime.pull(request.image, request.credentials, for: owner)
            logger.info("image pulled", metadata: ["image": "\(image.reference)"])
            return .success(image)
        } catch { return .failure(refusal(error)) }
    }

    /// - Parameter all: whether those are among them that were fetched with somebody's credentials.
    func images(all: Bool) async throws(APIError) -> [KeptImage] {
        try needsImages()
        return await runtime.keptImages().filter { all || $0.access != .restricted }
    }

    func remove(image reference: String) async throws(APIError) {
        try needsImages()
        do throws(ImageRemovalError) { try await runtime.remove(image: reference) } catch {
            throw APIError(error, reference)
        }
        logger.info("image removed", metadata: ["image": "\(reference.prefix(300))"])
    }

    /// Removes all that nothing stands on.
    func pruneImages() async throws(APIError) -> [KeptImage] {
        var removed: [KeptImage] = []
        for image in try await images(all: true) where image.access != .local && image.isUsed == false {
            do throws(APIError) {
                try await remove(image: image.reference)
                removed.append(image)
            } catch {
                // One that came into use meanwhile, or that somebody else has removed.
                guard [.conflict, .notFound].contains(error.status) else { throw error }
            }
        }
        return removed
    }

    private func needsImages() throws(APIError) {
        guard runtime.capabilities.images else {
            throw .notSupported(
                "images are not kept by this runtime: list and remove them with the engine's own commands",
                code: "IMAGE::UNSUPPORTED_RUNTIME")
        }
    }
}

extension APIError {
    fileprivate init(_ error: ImageRemovalError, _ reference: String) {
        let name = String(reference.prefix(300))
        self =
            switch error {
            case .unknown: APIError(.notFound, "IMAGE::NOT_FOUND", "there is no image \(name) on this server")
            case .inUse:
                APIError(
                    .conflict, "IMAGE::IN_USE", "sandboxes or snapshots use image \(name): delete them first")
            case .local:
                APIError(
                    .conflict, "IMAGE::LOCAL", "\(name) is a folder of this machine's: its operator removes it")
            case .unsupported: .notSupported("removing images", code: "IMAGE::UNSUPPORTED_RUNTIME")
            case .failed(let reason):
                APIError(.internalServerError, "SANDBOX::INTERNAL_ERROR", "image \(name) was not removed: \(reason)")
            }
    }
}
