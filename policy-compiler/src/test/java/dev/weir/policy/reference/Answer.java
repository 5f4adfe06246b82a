// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.reference;

import java.util.List;

/** Whether something matches, as far as it is known. In ascending order of certainty to match. */
enum Answer {
  NO,
  DEPENDS,
  YES;

  static Answer of(boolean yes) {
    return yes ? YES : NO;
  }

  /** No if one is no, else depends if one depends, else yes. */
  static Answer all(List<Answer> answers) {
    if (answers.contains(NO)) {
      return NO;
    }
    return answers.contains(DEPENDS) ? DEPENDS : YES;
  }

  /** Yes if one is yes, else depends if one depends, else no. */
  static Answer any(List<Answer> answers) {
    if (answers.contains(YES)) {
      return YES;
    }
    return answers.contains(DEPENDS) ? DEPENDS : NO;
  }
}
