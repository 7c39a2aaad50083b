//! The 564 test pictures of Pillow's own, as far as they are of the formats that are read here.

mod heavy {
    use crate::pillow_set::cases;
    use cliplet::image::{Preprocess, decode};

    #[test]
    fn pillows_pictures_give_pillows_crops_or_the_table_says_why() {
        let cases = cases();
        assert_eq!(cases.len(), 564);
        let mut complaints = Vec::new();
        let mut n_noticed = 0;
        for case in &cases {
            let crop = decode(&case.bytes).ok().map(|pixels| Preprocess::CLIP.crop(&pixels).rgb);
            complaints.extend(case.complaint(crop.as_deref()));
            // The control: a picture that stands on its head is another.
            if let Some(mut crop) = crop {
                crop.reverse();
                n_noticed += usize::from(case.complaint(Some(&crop)).is_some());
            }
        }
        assert!(complaints.is_empty(), "{complaints:#?}");
        assert!(n_noticed > 460, "only {n_noticed} turned pictures were noticed");
        println!("{} pictures, {n_noticed} noticed when turned", cases.len());
    }
}
