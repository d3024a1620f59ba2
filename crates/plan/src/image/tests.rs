use super::*;
use crate::sample::{NOW, Sample, image as sample_image, vm};
use holm_model::ImageId;

/// Every phase, used or not, from a URL or not: each step moves on, and a deleted image goes as soon as it may.
#[test]
fn every_pairing_has_a_way_out() {
    for origin in [ImageOrigin::Upload, ImageOrigin::Url("https://example.org/i".into())] {
        for phase in
            [ImagePhase::Awaiting, ImagePhase::Fetching, ImagePhase::Ready, ImagePhase::Failed, ImagePhase::Removing]
        {
            for user in [None, Some(VmId(7))] {
                let mut image = sample_image(0);
                image.spec.origin = origin.clone();
                image.phase = phase;
                let verdict = next(&image, user);
                match verdict {
                    Verdict::Do(Step::Forget) => assert_eq!((phase, user), (ImagePhase::Removing, None)),
                    Verdict::Do(step) => {
                        apply(&mut image, step, NOW);
                        assert_eq!((phase, image.phase), (ImagePhase::Awaiting, ImagePhase::Fetching));
                    }
                    verdict => {
                        assert!(verdict.why().is_some_and(|why| why.len() > 10));
                        assert!(phase != ImagePhase::Removing || user.is_some());
                    }
                }
            }
        }
    }
}

#[test]
fn an_image_in_use_is_not_forgotten() {
    let mut world = Sample::with_hosts(1);
    let image = sample_image(0);
    assert_eq!(user(&image, &world), None);
    world.add(vm(7));
    assert_eq!(user(&image, &world), Some(VmId(7)));
    assert_eq!(user(&sample_image(ImageId(1).0), &world), None);
}

#[test]
fn how_an_image_stands_follows_from_its_phase_and_its_vms() {
    use Standing::{Disabled, Failed, Locked, LockedUsed, LockedUsedPersistent, Ready, Removing, Used, UsedPersistent};
    let stand = |phase, persistent, enabled, vms| {
        let mut image = sample_image(1);
        image.phase = phase;
        image.spec.persistent = persistent;
        image.spec.enabled = enabled;
        standing(&image, vms)
    };
    for (phase, persistent, enabled, vms, expected) in [
        (ImagePhase::Awaiting, false, true, 0, Locked),
        (ImagePhase::Fetching, false, false, 0, Locked),
        (ImagePhase::Fetching, false, true, 2, LockedUsed),
        (ImagePhase::Awaiting, true, true, 1, LockedUsedPersistent),
        (ImagePhase::Ready, true, true, 0, Ready),
        (ImagePhase::Ready, false, false, 0, Disabled),
        (ImagePhase::Ready, false, true, 9, Used),
        (ImagePhase::Ready, true, true, 1, UsedPersistent),
        (ImagePhase::Failed, true, true, 1, Failed),
        (ImagePhase::Removing, false, true, 0, Removing),
    ] {
        assert_eq!(stand(phase, persistent, enabled, vms), expected, "{phase:?} {persistent} {enabled} {vms}");
    }
}
