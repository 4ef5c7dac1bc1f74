// The hash against its author's own vectors.
import Testing
import Wire

@Suite struct JenkinsHashTests {
    @Test func hashesAsItsAuthorSays() {
        // hashlittle("Four score and seven years ago", 30, 0 and 1).
        let text = Array("Four score and seven years ago".utf8)
        text.withUnsafeBytes {
            #expect(JenkinsHash.hash($0.baseAddress!, 30, 0) == 0x1777_0551)
            #expect(JenkinsHash.hash($0.baseAddress!, 30, 1) == 0xcd62_8161)
            #expect(JenkinsHash.hash($0.baseAddress!, 0, 0) == 0xdead_beef)
        }
    }

    @Test func wordsHashAsTheirBytes() {
        let words: [UInt32] = [0x0a00_0001, 0xffff_ffff, 7, 0x1234_5678]
        words.withUnsafeBytes { bytes in
            #expect(JenkinsHash.hash(words[0], words[1], words[2], words[3], seed: 99) == JenkinsHash.hash(bytes.baseAddress!, 16, 99))
        }
    }
}
