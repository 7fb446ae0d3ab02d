/// The images of this machine, for people.
extension LocalRuntime {
    package func pull(
        _ reference: String, _ credentials: RegistryCredentials?, for caller: String?
    ) async throws(RuntimeError) -> KeptImage {
        let image = try await image(reference, credentials, for: caller)
        return images.kept(image.reference)
            ?? KeptImage(
                reference: image.reference, digest: image.digest, access: credentials == nil ? .open : .restricted,
                isUsed: false)
    }

    package func keptImages() async -> [KeptImage] { images.kept() }

    package func remove(image reference: String) async throws(ImageRemovalError) {
        guard images.kept(reference)?.access != .local else { throw .local }
        do throws(ImageError) { try images.remove(reference) } catch {
            switch error {
            case .notFound, .invalidReference, .unqualified: throw .unknown
            case .inUse: throw .inUse
            default: throw .failed("\(error)")
            }
        }
    }
}

extension KeptImage {
    init(_ entry: ImageIndex.Entry, isUsed: Bool) {
        let access: Access =
            switch entry.access {
            case .local: .local
            case .open: .open
            case .restricted: .restricted
            }
        self.init(reference: entry.image.reference, digest: entry.image.digest, access: access, isUsed: isUsed)
    }
}
