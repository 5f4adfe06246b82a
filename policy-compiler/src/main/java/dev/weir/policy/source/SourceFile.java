// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.source;

/**
 * A file's name and content.
 *
 * @param name path as errors shall name it
 * @param content bytes, UTF-8; not copied, whoever makes the record gives them away
 */
@SuppressWarnings("ArrayRecordComponent") // never compared
public record SourceFile(String name, byte[] content) {}
