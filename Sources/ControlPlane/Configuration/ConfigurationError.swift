/// A problem with the configuration, and where it is.
package struct ConfigurationError: Error, Hashable, Sendable, CustomStringConvertible {
    package let description: String
    /// The process that holds the lock, if that is the problem.
    let holder: Int?

    package init(_ description: String) { self.init(description, holder: nil) }

    init(_ description: String, holder: Int?) { (self.description, self.holder) = (description, holder) }
}
