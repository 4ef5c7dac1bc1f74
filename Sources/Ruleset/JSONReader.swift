extension RulesetValue {
    func applying(json bytes: [UInt8], name: String, options: LoadOptions) -> (result: LoadResult, listings: [ListRequest]) {
        (LoadResult(value: self, diagnostics: []), [])
    }
}
