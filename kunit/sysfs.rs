// SPDX-License-Identifier: GPL-2.0

//! Kernel objects in sysfs, below the directory of a RAM disk. What user space reads and writes is tried from user
//! space.

use crate::device::ram;
use kernel::{
    prelude::*,
    sync::{Arc, ArcBorrow},
};
use kernel_ext::sysfs::{Access, Attribute, Dirent, Group, Kobject, Payload, Uevent};

/// What the object stands for: nothing.
struct Nothing;

static PLAIN: Attribute<Nothing> = Attribute::new(c"plain", 0o444, None, None);
static EXTRA: Attribute<Nothing> = Attribute::new(c"extra", 0o444, None, None);
static PLAIN_GROUP: Group<Nothing> = Group::new(None, &[Some(&PLAIN), None]);
static EXTRA_GROUP: Group<Nothing> = Group::new(None, &[Some(&EXTRA), None]);

impl Payload for Nothing {
    const GROUPS: &'static [Option<&'static Group<Self>>] = &[Some(&PLAIN_GROUP), None];

    type Guard<'a> = ();

    fn enter(_this: ArcBorrow<'_, Self>, _access: Access) -> Result {
        Ok(())
    }
}

#[kunit_tests(kernel_ext_sysfs)]
mod tests {
    use super::*;

    #[test]
    fn objects_come_and_go() -> Result {
        let parent = ram(0)?;
        let payload = Arc::new(Nothing, GFP_KERNEL)?;
        for _ in 0..3 {
            let object = Kobject::add(&**parent, c"md_kunit", payload.clone())?;
            let child = Kobject::add(&object, c"child", payload.clone())?;
            child.uevent(Uevent::Change);
            object.add_link(&child, c"link")?;
            object.remove_link(c"link");
            object.add_link(&child, c"link")?;
            object.remove_link(c"link");
        }
        Ok(())
    }

    #[test]
    fn groups_come_and_go() -> Result {
        let parent = ram(0)?;
        let object = Kobject::add(&**parent, c"md_kunit", Arc::new(Nothing, GFP_KERNEL)?)?;
        let plain = object.dirent(c"plain");
        assert!(plain.is_some());
        plain.iter().for_each(Dirent::notify);
        assert!(object.dirent(c"extra").is_none());
        object.add_group(&EXTRA_GROUP)?;
        let extra = object.dirent(c"extra");
        assert!(extra.is_some());
        object.remove_group(&EXTRA_GROUP);
        assert!(object.dirent(c"extra").is_none());
        // An entry that is gone may still be told.
        extra.iter().for_each(Dirent::notify);
        object.add_group(&EXTRA_GROUP)?;
        let parting = object.part_with(&EXTRA_GROUP);
        assert!(object.dirent(c"extra").is_some());
        drop(parting);
        assert!(object.dirent(c"extra").is_none());
        drop(object);
        plain.iter().for_each(Dirent::notify);
        Ok(())
    }
}
