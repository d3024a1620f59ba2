//! Images as verified blocks in a content-addressed directory
